"""What an analyst sees: a file for each page, over the functions of the package."""
