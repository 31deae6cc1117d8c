"""`make bench`: compare this project with its peers and with the limits of its stack."""
