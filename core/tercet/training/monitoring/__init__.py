"""Following a training run: nDCG@10 as it goes, a log, plots, and the model's card."""
