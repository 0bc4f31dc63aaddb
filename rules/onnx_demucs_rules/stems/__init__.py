"""The choice of stems, and the removal of everything else."""
