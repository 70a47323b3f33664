"""Parts of pictures: windows of them to search by, and where in a picture something is."""
