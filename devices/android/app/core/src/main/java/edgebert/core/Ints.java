package edgebert.core;

import java.util.Arrays;

/** A list of whole numbers that grows. */
final class Ints {
    private int[] items = new int[32];
    private int size;

    void add(int item) {
        if (size == items.length) {
            items = Arrays.copyOf(items, 2 * size);
        }
        items[size++] = item;
    }

    void addAll(int[] more, int start, int end) {
        for (int index = start; index < end; index++) {
            add(more[index]);
        }
    }

    void fill(int item, int count) {
        for (int index = 0; index < count; index++) {
            add(item);
        }
    }

    int size() {
        return size;
    }

    int get(int index) {
        return items[index];
    }

    void clear() {
        size = 0;
    }

    int[] toArray() {
        return Arrays.copyOf(items, size);
    }
}
