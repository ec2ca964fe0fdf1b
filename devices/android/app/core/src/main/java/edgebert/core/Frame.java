package edgebert.core;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Where the special tokens stand around a text, or around two. */
final class Frame {
    /** A special token ({@code text} is -1), or the place of a text. */
    private record Part(int text, int id, int type) {}

    private final List<Part> parts;

    private Frame(List<Part> parts) {
        this.parts = parts;
    }

    /** Of a post-processor; {@code name} is {@code single} or {@code pair}. */
    static Frame read(Map<String, Object> processor, String name) {
        List<Part> parts = new ArrayList<>();
        if ("BertProcessing".equals(processor.get("type"))) {
            int cls = Json.number(Json.list(processor.get("cls"), "cls").get(1), "cls").intValue();
            int sep = Json.number(Json.list(processor.get("sep"), "sep").get(1), "sep").intValue();
            parts.add(new Part(-1, cls, 0));
            parts.add(new Part(0, 0, 0));
            parts.add(new Part(-1, sep, 0));
            if (name.equals("pair")) {
                parts.add(new Part(1, 0, 1));
                parts.add(new Part(-1, sep, 1));
            }
            return new Frame(parts);
        }
        WordPiece.expect(processor.get("type"), "TemplateProcessing", "post-processor");
        Map<String, Object> tokens = Json.object(processor.get("special_tokens"), "special_tokens");
        for (Object item : Json.list(processor.get(name), name)) {
            Map<String, Object> part = Json.object(item, "a part of " + name);
            boolean isText = part.containsKey("Sequence");
            Map<String, Object> what = Json.object(part.get(isText ? "Sequence" : "SpecialToken"), "a part of " + name);
            String id = Json.string(what.get("id"), "id");
            int type = Json.number(what.get("type_id"), "type_id").intValue();
            if (isText) {
                parts.add(new Part(id.equals("B") ? 1 : 0, 0, type));
                continue;
            }
            Map<String, Object> token = Json.object(tokens.get(id), "the special token " + id);
            for (int number : Json.integers(token.get("ids"), "ids")) {
                parts.add(new Part(-1, number, type));
            }
        }
        return new Frame(parts);
    }

    /** How many special tokens it has. */
    int specials() {
        return (int) parts.stream().filter(part -> part.text < 0).count();
    }

    /** How many pieces of each text stay, as {@code tokenizers} shares the room: the longer one gives way first. */
    static int[] longestFirst(int[] lengths, int room) {
        if (lengths.length == 1) {
            return new int[] {room};
        }
        int shorter = Math.min(lengths[0], lengths[1]);
        int kept = 2 * shorter > room ? room / 2 : shorter;
        return lengths[0] <= lengths[1] ? new int[] {kept, room - kept} : new int[] {room - kept, kept};
    }

    /** The first {@code lengths} pieces of each text in their frame. */
    Encoding around(Encoding[] texts, int[] lengths, boolean truncated) {
        Ints ids = new Ints();
        Ints types = new Ints();
        Ints starts = new Ints();
        Ints ends = new Ints();
        Ints words = new Ints();
        for (Part part : parts) {
            if (part.text < 0) {
                ids.add(part.id);
                types.add(part.type);
                starts.add(0);
                ends.add(0);
                words.add(-1);
                continue;
            }
            Encoding text = texts[part.text];
            int length = lengths[part.text];
            ids.addAll(text.ids(), 0, length);
            types.fill(part.type, length);
            starts.addAll(text.starts(), 0, length);
            ends.addAll(text.ends(), 0, length);
            words.addAll(text.words(), 0, length);
        }
        return new Encoding(
            ids.toArray(), types.toArray(), starts.toArray(), ends.toArray(), words.toArray(), truncated);
    }
}
