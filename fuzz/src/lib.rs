//! Fuzz targets over the public API of the libraries.
