"""The scaling group {γ^i}, the rotations C_N, and how features transform under both."""
