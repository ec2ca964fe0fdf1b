package edgebert.core;

import java.lang.reflect.Array;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Writes JSON on one line, ASCII only, as Python's {@code json.dumps(value, separators=(",", ":"))} does. */
public final class JsonWriter {
    private final StringBuilder out = new StringBuilder();
    private final boolean sorted;

    private JsonWriter(boolean sorted) {
        this.sorted = sorted;
    }

    /** Maps, lists, arrays of numbers, strings, numbers, booleans and null. */
    public static String write(Object value) {
        JsonWriter writer = new JsonWriter(false);
        writer.value(value);
        return writer.out.toString();
    }

    /** The same with the names of objects in ascending order: what a manifest's checksum is over. */
    public static String canonical(Object value) {
        JsonWriter writer = new JsonWriter(true);
        writer.value(value);
        return writer.out.toString();
    }

    private void value(Object value) {
        if (value == null || value instanceof Boolean || value instanceof Number) {
            out.append(value);
        } else if (value instanceof Map) {
            object(Json.object(value, "the value"));
        } else if (value instanceof Iterable) {
            list(((Iterable<?>) value).iterator());
        } else if (value.getClass().isArray()) {
            List<Object> items = new ArrayList<>();
            for (int index = 0; index < Array.getLength(value); index++) {
                items.add(Array.get(value, index));
            }
            list(items.iterator());
        } else {
            string(value.toString());
        }
    }

    private void object(Map<String, Object> value) {
        List<String> names = new ArrayList<>(value.keySet());
        if (sorted) {
            names.sort(JsonWriter::byCodePoint);
        }
        out.append('{');
        String separator = "";
        for (String name : names) {
            out.append(separator);
            string(name);
            out.append(':');
            value(value.get(name));
            separator = ",";
        }
        out.append('}');
    }

    private void list(Iterator<?> items) {
        out.append('[');
        String separator = "";
        while (items.hasNext()) {
            out.append(separator);
            value(items.next());
            separator = ",";
        }
        out.append(']');
    }

    private void string(String value) {
        out.append('"');
        for (int index = 0; index < value.length(); index++) {
            char letter = value.charAt(index);
            int escape = "\"\\\b\f\n\r\t".indexOf(letter);
            if (escape >= 0) {
                out.append('\\').append("\"\\bfnrt".charAt(escape));
            } else if (letter < ' ' || letter > '~') {
                out.append(String.format(Locale.ROOT, "\\u%04x", (int) letter));
            } else {
                out.append(letter);
            }
        }
        out.append('"');
    }

    /** As Python sorts: by code point, where Java's own order is by UTF-16 unit. */
    static int byCodePoint(String first, String second) {
        int[] a = first.codePoints().toArray();
        int[] b = second.codePoints().toArray();
        for (int index = 0; index < Math.min(a.length, b.length); index++) {
            if (a[index] != b[index]) {
                return Integer.compare(a[index], b[index]);
            }
        }
        return Integer.compare(a.length, b.length);
    }
}
