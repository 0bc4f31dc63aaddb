"""How each stage of the pipeline applies its rules; the stages know no operator and no model."""
