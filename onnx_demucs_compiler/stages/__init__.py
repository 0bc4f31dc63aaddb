"""The stages of the pipeline, which know no operator and no model."""
