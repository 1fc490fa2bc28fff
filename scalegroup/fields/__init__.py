"""Feature fields over scale and plane: windows, types, grids, boundaries, the lifting, and both projections."""
