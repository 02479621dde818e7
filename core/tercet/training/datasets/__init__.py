"""Files of training examples, in the layouts that people have."""
