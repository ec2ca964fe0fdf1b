package edgebert.core;

/**
 * What is wrong (the message) and how to mend it (the hint); the kinds and exit codes are those of
 * {@code edgebert/errors.py}, so that the host raises the same error as if its own worker had met it.
 */
public final class EdgebertException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** The kinds that this program meets. */
    public enum Kind {
        /** An argument that cannot be obeyed. */
        UsageError(2),
        /** Text that cannot be used. */
        DataError(2),
        /** The job cannot be done on this device. */
        DeviceError(3),
        /** An artifact that is damaged, or that computes something else than it should. */
        ArtifactError(4);

        /** Of the command that ends with it. */
        public final int exitCode;

        Kind(int exitCode) {
            this.exitCode = exitCode;
        }
    }

    public final Kind kind;
    public final String hint;

    public EdgebertException(Kind kind, String message, String hint) {
        super(message);
        this.kind = kind;
        this.hint = hint;
    }

    public EdgebertException(Kind kind, String message, String hint, Throwable cause) {
        super(message, cause);
        this.kind = kind;
        this.hint = hint;
    }

    static EdgebertException artifact(String message, String hint) {
        return new EdgebertException(Kind.ArtifactError, message, hint);
    }

    static EdgebertException usage(String message, String hint) {
        return new EdgebertException(Kind.UsageError, message, hint);
    }

    static EdgebertException data(String message, String hint) {
        return new EdgebertException(Kind.DataError, message, hint);
    }
}
