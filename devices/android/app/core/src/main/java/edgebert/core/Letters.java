package edgebert.core;

import java.util.BitSet;

/** BertNormalizer and BertPreTokenizer: what each character becomes, and where words end. */
final class Letters {
    /** What a character is to the words around it. */
    enum Kind {
        /** Ends a word and is gone. */
        SPACE,
        /** Is gone. */
        NOTHING,
        /** A word by itself. */
        ALONE,
        /** Part of a word. */
        LETTER
    }

    /** A character's kind, and the letters that it becomes. */
    record Letter(Kind kind, int[] letters) {}

    /** Characters below this are remembered. */
    private static final int REMEMBERED = 0x10000;

    private static final Letter SPACE = new Letter(Kind.SPACE, new int[0]);
    private static final Letter NOTHING = new Letter(Kind.NOTHING, new int[0]);

    private final UnicodeTables tables = UnicodeTables.get();
    private final BitSet removed = tables.set("removed");
    private final BitSet space = tables.set("space");
    private final BitSet ideographs = tables.set("ideograph");
    private final BitSet punctuation = tables.set("punctuation");
    private final boolean clean;
    private final boolean splitIdeographs;
    private final boolean lower;
    private final boolean strip;
    private final Letter[] known = new Letter[REMEMBERED];

    Letters(boolean clean, boolean splitIdeographs, boolean lower, boolean strip) {
        this.clean = clean;
        this.splitIdeographs = splitIdeographs;
        this.lower = lower;
        this.strip = strip;
    }

    Letter of(int codePoint) {
        if (codePoint >= REMEMBERED) {
            return look(codePoint);
        }
        Letter found = known[codePoint];
        if (found == null) { // threads that look at once find the same
            found = known[codePoint] = look(codePoint);
        }
        return found;
    }

    private Letter look(int codePoint) {
        if (clean && space.get(codePoint)) {
            return SPACE;
        }
        if (clean && removed.get(codePoint)) {
            return NOTHING;
        }
        int[] letters = strip ? tables.strip(codePoint) : new int[] {codePoint};
        if (lower) {
            Ints small = new Ints();
            for (int letter : letters) {
                int[] found = tables.lower(letter);
                small.addAll(found, 0, found.length);
            }
            letters = small.toArray();
        }
        boolean single = letters.length == 1;
        if (splitIdeographs && ideographs.get(codePoint) || single && punctuation.get(letters[0])) {
            return new Letter(Kind.ALONE, letters);
        }
        if (single && tables.isGap(letters[0])) {
            return SPACE;
        }
        return letters.length == 0 ? NOTHING : new Letter(Kind.LETTER, letters);
    }
}
