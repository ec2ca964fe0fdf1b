"""From teacher to student: fewer layers, fewer word pieces, the same answers.

The flow of this package, in reading order: `vocabulary` drops the word pieces that the task does not need, `student`
takes layers and embedding rows from the teacher, `noise` damages the training texts repeatably, `losses` says how far
the student is from the teacher, `training` is what every training shares (order, checkpoints, resuming), and
`distill` puts them together. `families` knows where each kind of encoder keeps its layers.
"""
