"""Writers of trained models in the layouts that other libraries open."""
