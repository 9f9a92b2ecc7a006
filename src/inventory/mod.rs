//! One pass over the verified layers of an image: what is in them, layer by layer and put together.

mod capability;
mod difference;
mod modified;
mod owners;
mod resolve;
#[cfg(test)]
mod testing;
mod verify;

pub use modified::modified;
pub use verify::verify;
