//! Files with holes: where the stored bytes belong.

use tar_core::SparseEntry;

use super::{error::LayerError, tar::Sink};

/// The regions of a sparse file that are still to come.
#[derive(Debug)]
pub(super) struct Sparse {
    regions: std::vec::IntoIter<SparseEntry>,
    /// bytes left of the region being read
    left: u64,
    /// offset in the file
    at: u64,
    size: u64,
}

/// As many bytes as are left, and at hand.
pub(super) fn clamp(left: u64, length: usize) -> usize {
    usize::try_from(left).map_or(length, |left| left.min(length))
}

impl Sparse {
    pub(super) fn new(map: Vec<SparseEntry>, size: u64, stored: u64) -> Result<Self, &'static str> {
        let (mut at, mut sum) = (0u64, 0u64);
        for region in &map {
            if region.offset < at {
                return Err("the regions of the sparse map overlap or are out of order");
            }
            at = region
                .offset
                .checked_add(region.length)
                .filter(|&end| end <= size)
                .ok_or("the sparse map goes past the end of the file")?;
            sum += region.length;
        }
        if sum != stored {
            return Err("the sparse map does not account for the bytes stored");
        }
        Ok(Self {
            regions: map.into_iter(),
            left: 0,
            at: 0,
            size,
        })
    }

    pub(super) fn data(&mut self, mut data: &[u8], sink: &mut impl Sink) -> Result<(), LayerError> {
        while !data.is_empty() {
            while self.left == 0 {
                let Some(region) = self.regions.next() else {
                    return Ok(());
                };
                if region.offset > self.at {
                    sink.hole(region.offset - self.at)?;
                }
                self.at = region.offset;
                self.left = region.length;
            }
            let (head, rest) = data.split_at(clamp(self.left, data.len()));
            sink.data(head)?;
            self.left -= head.len() as u64;
            self.at += head.len() as u64;
            data = rest;
        }
        Ok(())
    }

    pub(super) fn end(&mut self, sink: &mut impl Sink) -> Result<(), LayerError> {
        if self.size > self.at {
            sink.hole(self.size - self.at)?;
            self.at = self.size;
        }
        Ok(())
    }
}
