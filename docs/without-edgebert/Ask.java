import edgebert.core.Answer;
import edgebert.core.Artifact;
import edgebert.core.FolderSource;
import edgebert.core.Golden;
import edgebert.core.JsonWriter;
import edgebert.core.Model;
import java.nio.file.Paths;
import java.util.Arrays;

/** java Ask FOLDER TEXT...: what an artifact answers, as JSON. */
public final class Ask {
    public static void main(String[] arguments) {
        Artifact artifact = Artifact.open(new FolderSource(Paths.get(arguments[0]))); // every file is hashed
        try (Model model = Model.load(artifact, OrtEngine::new, 1)) {
            Golden.Check golden = Golden.check(model);
            if (!golden.ok()) {
                throw new IllegalStateException("this engine computes something else: " + golden.details());
            }
            Answer answer = model.predict(Arrays.copyOfRange(arguments, 1, arguments.length));
            System.out.println(JsonWriter.write(answer.toJson()));
        }
    }
}
