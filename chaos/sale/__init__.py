"""A flash sale while the services that share its stock are killed."""
