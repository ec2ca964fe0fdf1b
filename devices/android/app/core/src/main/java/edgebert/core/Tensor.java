package edgebert.core;

/**
 * An output of a model for one window, float32 [rows, columns], row by row. Outputs that are not per token have one
 * row; those with one number a token have one column.
 */
public record Tensor(float[] data, int rows, int columns) {
    /** One number. */
    public float at(int row, int column) {
        return data[row * columns + column];
    }

    /** The column of a row's largest number, the first of equal ones. */
    public int best(int row) {
        int best = 0;
        for (int column = 1; column < columns; column++) {
            if (at(row, column) > at(row, best)) {
                best = column;
            }
        }
        return best;
    }

    /** The probability of a column in its row, by softmax. */
    public double share(int row, int column, double temperature) {
        double sum = 0;
        for (int other = 0; other < columns; other++) {
            sum += Math.exp(((double) at(row, other) - at(row, column)) / temperature);
        }
        return 1.0 / sum;
    }
}
