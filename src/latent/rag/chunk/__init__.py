"""From a document to passages of one size, that end where the text does."""
