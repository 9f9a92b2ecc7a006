//! One pass over the verified layers of an image: what is in them, layer by layer and put together.
