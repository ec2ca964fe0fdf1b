package edgebert.core;

import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** A task's settings as the manifest has them; one that is not asked for is refused, so that none is ignored. */
final class Settings {
    private final String task;
    private final Map<String, Object> values;
    private final TreeSet<String> unread;

    Settings(String task, Map<String, Object> values) {
        this.task = task;
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
        List<Object> items = value == null ? java.util.Collections.emptyList() : Json.list(value, name);
        return items.stream().mapToDouble(item -> Json.number(item, name).doubleValue()).toArray();
    }

    void finish() {
        if (!unread.isEmpty()) {
            throw EdgebertException.usage(
                task + " has no setting " + unread.first(), "update the app to one that knows it");
        }
    }
}
