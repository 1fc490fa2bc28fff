"""Scale-normalised Gaussian derivatives, their discretisations and their learnt combination."""
