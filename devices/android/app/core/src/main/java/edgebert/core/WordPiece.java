package edgebert.core;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * BERT's tokenizer, as {@code edgebert/wordpiece.py}: the ids, offsets and word numbers that Hugging Face's
 * tokenizers gives for a {@code tokenizer.json} of the BERT kind (Devlin et al. 2019; the greedy longest match is that
 * of Wu et al. 2016). Other kinds are refused by name. Safe from several threads.
 */
public final class WordPiece {
    /** Words whose pieces are remembered; words repeat. */
    private static final int REMEMBERED = 20_000;

    private final Map<String, Integer> vocabulary;
    private final int unknown;
    private final String prefix;
    private final int longest;
    private final List<Added> added;
    private final Set<Integer> addedFirst = new HashSet<>();
    private final Letters letters;
    private final Frame single;
    private final Frame pair;
    private final Map<String, int[]> cut = new ConcurrentHashMap<>();

    /** A token that is found in the text as it is written. */
    private record Added(int[] codePoints, int id) {}

    /** Read from the content of a {@code tokenizer.json}. Throws an ArtifactError. */
    public static WordPiece read(String json) {
        try {
            return new WordPiece(Json.object(Json.parse(json), "tokenizer.json"));
        } catch (Json.Malformed error) {
            throw EdgebertException.artifact(
                "tokenizer.json is not one of BERT: " + error.getMessage(),
                "take an artifact whose tokenizer is WordPiece");
        }
    }

    private WordPiece(Map<String, Object> content) {
        Map<String, Object> model = Json.object(content.get("model"), "model");
        Map<String, Object> normalizer = Json.object(content.get("normalizer"), "normalizer");
        expect(model.getOrDefault("type", "WordPiece"), "WordPiece", "model");
        expect(normalizer.get("type"), "BertNormalizer", "normalizer");
        Object before = Json.object(content.get("pre_tokenizer"), "pre_tokenizer").get("type");
        expect(before, "BertPreTokenizer", "pre-tokenizer");
        vocabulary = new LinkedHashMap<>();
        Json.object(model.get("vocab"), "vocab").forEach((piece, id) ->
            vocabulary.put(piece, Json.number(id, "an id").intValue()));
        String unknownPiece = Json.string(model.get("unk_token"), "unk_token");
        if (!vocabulary.containsKey(unknownPiece)) {
            throw new Json.Malformed(unknownPiece + " is not in the vocabulary");
        }
        unknown = vocabulary.get(unknownPiece);
        prefix = Json.string(model.get("continuing_subword_prefix"), "continuing_subword_prefix");
        longest = Json.number(model.get("max_input_chars_per_word"), "max_input_chars_per_word").intValue();
        added = added(content);
        for (Added token : added) {
            addedFirst.add(token.codePoints[0]);
        }
        boolean lower = Json.truth(normalizer.get("lowercase"), "lowercase");
        Object strip = normalizer.get("strip_accents");
        letters = new Letters(
            Json.truth(normalizer.get("clean_text"), "clean_text"),
            Json.truth(normalizer.get("handle_chinese_chars"), "handle_chinese_chars"),
            lower,
            strip == null ? lower : Json.truth(strip, "strip_accents"));
        Map<String, Object> processor = Json.object(content.get("post_processor"), "post_processor");
        single = Frame.read(processor, "single");
        pair = Frame.read(processor, "pair");
    }

    static void expect(Object found, String wanted, String what) {
        if (!wanted.equals(found)) {
            throw EdgebertException.artifact(
                "tokenizer.json has a " + found + " " + what + ", not BERT's " + wanted,
                "take an artifact whose tokenizer is WordPiece");
        }
    }

    private static List<Added> added(Map<String, Object> content) {
        List<Added> found = new ArrayList<>();
        Object tokens = content.get("added_tokens");
        for (Object item : tokens == null ? new ArrayList<>() : Json.list(tokens, "added_tokens")) {
            Map<String, Object> token = Json.object(item, "an added token");
            String written = Json.string(token.get("content"), "content");
            for (String option : new String[] {"normalized", "single_word", "lstrip", "rstrip"}) {
                if (Boolean.TRUE.equals(token.get(option))) {
                    throw EdgebertException.artifact(
                        "the added token " + written + " has the option " + option,
                        "take an artifact whose tokenizer is plain WordPiece");
                }
            }
            if (!written.isEmpty()) {
                found.add(new Added(written.codePoints().toArray(), Json.number(token.get("id"), "id").intValue()));
            }
        }
        found.sort((a, b) -> Integer.compare(b.codePoints.length, a.codePoints.length));
        return found;
    }

    /** Pieces of the vocabulary, added ones included. */
    public int size() {
        Set<String> all = new HashSet<>(vocabulary.keySet());
        for (Added token : added) {
            all.add(new String(token.codePoints, 0, token.codePoints.length));
        }
        return all.size();
    }

    /** Tokens of a text with the special ones, cut to {@code most} of them. */
    public Encoding encode(String text, int most) {
        return frame(single, most, pieces(new Text(text)));
    }

    /** Tokens of a pair of texts with the special ones, cut to {@code most}: the longer text gives way first. */
    public Encoding encode(String text, String second, int most) {
        return frame(pair, most, pieces(new Text(text)), pieces(new Text(second)));
    }

    /** All pieces of a text, without special tokens. */
    public Encoding pieces(Text text) {
        Pieces found = new Pieces();
        Ints word = new Ints();
        Ints places = new Ints();
        for (int at = 0; at < text.length(); at++) {
            Added token = addedAt(text, at);
            if (token != null) {
                cutWord(word, places, found);
                found.add(token.id, at, at + token.codePoints.length);
                found.word++;
                at += token.codePoints.length - 1;
                continue;
            }
            Letters.Letter letter = letters.of(text.at(at));
            if (letter.kind() == Letters.Kind.NOTHING) {
                continue;
            }
            if (letter.kind() != Letters.Kind.LETTER) {
                cutWord(word, places, found);
            }
            word.addAll(letter.letters(), 0, letter.letters().length);
            places.fill(at, letter.letters().length);
            if (letter.kind() == Letters.Kind.ALONE) {
                cutWord(word, places, found);
            }
        }
        cutWord(word, places, found);
        return found.encoding();
    }

    private Added addedAt(Text text, int at) {
        if (!addedFirst.contains(text.at(at))) {
            return null;
        }
        for (Added token : added) { // the longest first
            int length = 0;
            while (length < token.codePoints.length && at + length < text.length()
                && text.at(at + length) == token.codePoints[length]) {
                length++;
            }
            if (length == token.codePoints.length) {
                return token;
            }
        }
        return null;
    }

    /** Adds the pieces of a word whose letters came from {@code places}, and empties both. */
    private void cutWord(Ints word, Ints places, Pieces found) {
        if (word.size() == 0) {
            return;
        }
        String written = new String(word.toArray(), 0, word.size());
        int[] pieces = cut.get(written);
        if (pieces == null) {
            pieces = cut(written, word.size());
            if (cut.size() < REMEMBERED) {
                cut.put(written, pieces);
            }
        }
        for (int index = 0; index < pieces.length; index += 3) {
            found.add(pieces[index], places.get(pieces[index + 1]), places.get(pieces[index + 2] - 1) + 1);
        }
        found.word++;
        word.clear();
        places.clear();
    }

    /** Id, first letter and end letter of each piece: always the longest that the vocabulary has. */
    private int[] cut(String word, int length) {
        int[] whole = {unknown, 0, length};
        if (length > longest) {
            return whole;
        }
        Ints found = new Ints();
        int[] units = new int[length + 1]; // where each letter begins in the string
        for (int letter = 0; letter < length; letter++) {
            units[letter + 1] = units[letter] + Character.charCount(word.codePointAt(units[letter]));
        }
        for (int start = 0; start < length;) {
            int end = length;
            Integer id = null;
            for (; end > start; end--) {
                String piece = word.substring(units[start], units[end]);
                id = vocabulary.get(start == 0 ? piece : prefix + piece);
                if (id != null) {
                    break;
                }
            }
            if (id == null) {
                return whole;
            }
            found.add(id);
            found.add(start);
            found.add(end);
            start = end;
        }
        return found.toArray();
    }

    private static Encoding frame(Frame frame, int most, Encoding... texts) {
        int[] lengths = new int[texts.length];
        int all = 0;
        for (int index = 0; index < texts.length; index++) {
            lengths[index] = texts[index].length();
            all += lengths[index];
        }
        int room = Math.max(0, most - frame.specials());
        boolean truncated = all > room;
        if (truncated) {
            lengths = Frame.longestFirst(lengths, room);
        }
        return frame.around(texts, lengths, truncated);
    }

    /** The ids that frame a window: those around no text, or around two. */
    int[] specials(boolean two) {
        return two ? encode("", "", Integer.MAX_VALUE).ids() : encode("", Integer.MAX_VALUE).ids();
    }

    /** Pieces as they are found. */
    private static final class Pieces {
        private final Ints ids = new Ints();
        private final Ints starts = new Ints();
        private final Ints ends = new Ints();
        private final Ints words = new Ints();
        private int word;

        void add(int id, int start, int end) {
            ids.add(id);
            starts.add(start);
            ends.add(end);
            words.add(word);
        }

        Encoding encoding() {
            return new Encoding(
                ids.toArray(), new int[ids.size()], starts.toArray(), ends.toArray(), words.toArray(), false);
        }
    }
}
