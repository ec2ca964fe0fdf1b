"""From teacher to student: fewer layers, fewer word pieces, the same answers.

The flow of this package, in reading order: `folder` reads and writes what transformers calls a model, `vocabulary`
drops the word pieces that the task does not need, `width` the feed-forward neurons that say least, `student` takes
layers and embedding rows from the teacher, `noise` damages the training texts repeatably, `losses` says how far the
student is from the teacher, `teacher_cache` keeps what the teacher said, and `distill` puts them together. `finetune`
makes a teacher where there is none. What both trainings share is in `batches` (the order of examples), `training` (the
Trainer) and `checkpoints` (resuming); `families` knows where each kind of encoder keeps its parts.
"""
