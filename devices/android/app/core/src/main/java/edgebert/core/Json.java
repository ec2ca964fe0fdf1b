package edgebert.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON (RFC 8259, and the NaN and Infinity that Python writes) into maps, lists, strings, booleans, null and
 * {@link Lexeme} numbers. Numbers keep their spelling, because a manifest's checksum is over it.
 */
public final class Json {
    /** Deeper nesting is refused before it exhausts the stack. */
    private static final int DEEPEST = 200;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Not JSON, or not of the shape that the reader expects. */
    public static final class Malformed extends RuntimeException {
        private static final long serialVersionUID = 1;

        Malformed(String message) {
            super(message);
        }
    }

    /** A number as it is written. */
    public static final class Lexeme extends Number {
        private static final long serialVersionUID = 1;

        private final String spelling;

        Lexeme(String spelling) {
            this.spelling = spelling;
        }

        @Override
        public int intValue() {
            long value = longValue();
            if (value != (int) value) {
                throw new Malformed(spelling + " is too large");
            }
            return (int) value;
        }

        @Override
        public long longValue() {
            try {
                return Long.parseLong(spelling);
            } catch (NumberFormatException error) {
                throw new Malformed(spelling + " is not a whole number");
            }
        }

        @Override
        public float floatValue() {
            return (float) doubleValue();
        }

        @Override
        public double doubleValue() {
            return Double.parseDouble(spelling);
        }

        @Override
        public String toString() {
            return spelling;
        }
    }

    /** The value of a whole JSON text. Throws {@link Malformed}. */
    public static Object parse(String text) {
        Json reader = new Json(text);
        Object value = reader.value(0);
        reader.space();
        if (reader.at != text.length()) {
            throw reader.malformed("the end");
        }
        return value;
    }

    private Object value(int depth) {
        if (depth > DEEPEST) {
            throw new Malformed("nested more than " + DEEPEST + " deep");
        }
        space();
        if (at == text.length()) {
            throw malformed("a value");
        }
        return switch (text.charAt(at)) {
            case '{' -> object(depth);
            case '[' -> list(depth);
            case '"' -> string();
            case 't' -> word("true", Boolean.TRUE);
            case 'f' -> word("false", Boolean.FALSE);
            case 'n' -> word("null", null);
            case 'N' -> word("NaN", new Lexeme("NaN"));
            case 'I' -> word("Infinity", new Lexeme("Infinity"));
            default -> number();
        };
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> found = new LinkedHashMap<>();
        at++;
        space();
        if (take('}')) {
            return found;
        }
        do {
            space();
            if (at == text.length() || text.charAt(at) != '"') {
                throw malformed("a name");
            }
            String name = string();
            space();
            need(':');
            if (found.containsKey(name)) {
                throw new Malformed("the name \"" + name + "\" stands twice in one object");
            }
            found.put(name, value(depth + 1));
            space();
        } while (take(','));
        need('}');
        return found;
    }

    private List<Object> list(int depth) {
        List<Object> found = new ArrayList<>();
        at++;
        space();
        if (take(']')) {
            return found;
        }
        do {
            found.add(value(depth + 1));
            space();
        } while (take(','));
        need(']');
        return found;
    }

    private String string() {
        StringBuilder found = new StringBuilder();
        at++;
        while (true) {
            if (at == text.length()) {
                throw malformed("a closing quote");
            }
            char letter = text.charAt(at++);
            if (letter == '"') {
                return found.toString();
            }
            if (letter < ' ') {
                at--;
                throw malformed("no control character in a string");
            }
            found.append(letter == '\\' ? escaped() : letter);
        }
    }

    private char escaped() {
        char letter = at < text.length() ? text.charAt(at++) : ' ';
        switch (letter) {
            case '"', '\\', '/':
                return letter;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                if (text.length() - at >= 4 && text.substring(at, at + 4).matches("[0-9a-fA-F]{4}")) {
                    at += 4;
                    return (char) Integer.parseInt(text.substring(at - 4, at), 16);
                }
                break;
            default:
        }
        at--;
        throw malformed("an escape that JSON knows");
    }

    private Lexeme number() {
        int start = at;
        while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String spelling = text.substring(start, at);
        if (spelling.equals("-") && text.startsWith("Infinity", at)) {
            at += "Infinity".length();
            return new Lexeme("-Infinity");
        }
        if (!spelling.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")) {
            at = start;
            throw malformed("a value");
        }
        return new Lexeme(spelling);
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw malformed("a value");
        }
        at += word.length();
        return value;
    }

    private void space() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private boolean take(char letter) {
        boolean there = at < text.length() && text.charAt(at) == letter;
        at += there ? 1 : 0;
        return there;
    }

    private void need(char letter) {
        if (!take(letter)) {
            throw malformed("'" + letter + "'");
        }
    }

    private Malformed malformed(String wanted) {
        int line = 1 + (int) text.substring(0, at).chars().filter(letter -> letter == '\n').count();
        return new Malformed("no JSON: line " + line + ", character " + at + " wants " + wanted);
    }

    /** The value as an object. */
    @SuppressWarnings("unchecked")
    public static Map<String, Object> object(Object value, String what) {
        if (value instanceof Map) {
            return (Map<String, Object>) value;
        }
        throw new Malformed(what + " is no object");
    }

    /** The value as a list. */
    @SuppressWarnings("unchecked")
    public static List<Object> list(Object value, String what) {
        if (value instanceof List) {
            return (List<Object>) value;
        }
        throw new Malformed(what + " is no list");
    }

    /** The value as a string. */
    public static String string(Object value, String what) {
        if (value instanceof String) {
            return (String) value;
        }
        throw new Malformed(what + " is no string");
    }

    /** The value as a number. */
    public static Number number(Object value, String what) {
        if (value instanceof Number) {
            return (Number) value;
        }
        throw new Malformed(what + " is no number");
    }

    /** The value as true or false. */
    public static boolean truth(Object value, String what) {
        if (value instanceof Boolean) {
            return (Boolean) value;
        }
        throw new Malformed(what + " is neither true nor false");
    }

    /** The value as strings. */
    public static List<String> strings(Object value, String what) {
        List<String> found = new ArrayList<>();
        for (Object item : list(value, what)) {
            found.add(string(item, "an item of " + what));
        }
        return found;
    }

    /** The value as whole numbers. */
    public static int[] integers(Object value, String what) {
        List<Object> items = list(value, what);
        int[] found = new int[items.size()];
        for (int index = 0; index < found.length; index++) {
            found[index] = number(items.get(index), "an item of " + what).intValue();
        }
        return found;
    }
}
