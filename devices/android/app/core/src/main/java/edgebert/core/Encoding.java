package edgebert.core;

/**
 * A text (or pair) as tokens, or a window of a long one: what a model reads, not padded.
 *
 * @param ids of the vocabulary
 * @param typeIds 0, and 1 in the second text of a pair
 * @param starts for each token its first character, as a code point's number in its text; 0 for special tokens
 * @param ends the character behind its last; 0 for special tokens
 * @param words the number of its word in its text, -1 for special tokens (and for all that is not of the text which
 *     answers point into)
 * @param truncated some of the text was cut off and is in no window
 */
public record Encoding(int[] ids, int[] typeIds, int[] starts, int[] ends, int[] words, boolean truncated) {
    /** Tokens. */
    public int length() {
        return ids.length;
    }

    /** The tokens (start, end) that are of the text. */
    int[] body() {
        int start = 0;
        int end = words.length;
        while (start < end && words[start] < 0) {
            start++;
        }
        while (end > start && words[end - 1] < 0) {
            end--;
        }
        return start == end ? new int[] {0, 0} : new int[] {start, end};
    }
}
