//! Who is it and what may they do.
