package edgebert.core;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Predicate;

/** Settings as JSON has them; one that is not asked for is refused, so that none is ignored. */
final class Settings {
    private final String owner;
    private final Map<String, Object> values;
    private final TreeSet<String> unread;

    Settings(String owner, Map<String, Object> values) {
        this.owner = owner;
        this.values = values;
        this.unread = new TreeSet<>(values.keySet());
    }

    private Object value(String name) {
        unread.remove(name);
        return values.get(name);
    }

    Integer integer(String name, Integer otherwise) {
        Object value = value(name);
        return value == null ? otherwise : Integer.valueOf(Json.number(value, name).intValue());
    }

    Double number(String name, Double otherwise) {
        Object value = value(name);
        return value == null ? otherwise : Double.valueOf(Json.number(value, name).doubleValue());
    }

    boolean truth(String name, boolean otherwise) {
        Object value = value(name);
        return value == null ? otherwise : Json.truth(value, name);
    }

    String string(String name, String otherwise) {
        Object value = value(name);
        return value == null ? otherwise : Json.string(value, name);
    }

    double[] numbers(String name) {
        Object value = value(name);
        List<Object> items = value == null ? Collections.emptyList() : Json.list(value, name);
        return items.stream().mapToDouble(item -> Json.number(item, name).doubleValue()).toArray();
    }

    int[] integers(String name) {
        Object value = value(name);
        return value == null ? new int[0] : Json.integers(value, name);
    }

    /** Passes over those that were not asked for and whose value is of a kind. */
    void forget(Predicate<Object> kind) {
        unread.removeIf(name -> kind.test(values.get(name)));
    }

    /** Ends the reading. Throws a UsageError for a setting that was not asked for. */
    void finish() {
        if (!unread.isEmpty()) {
            throw EdgebertException.usage(
                owner + " has no setting " + unread.first(), "update the app to one that knows it");
        }
    }
}
