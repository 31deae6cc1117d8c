"""`make bench`: this project beside its peers and beside the limits of what it stands on."""
