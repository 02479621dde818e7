"""No test reaches a hub: whatever asks for one fails at once."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # tiny models: threads only wait for each other
os.environ["TOKENIZERS_PARALLELISM"] = "false"
