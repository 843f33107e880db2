//! Compressed streams, as Debian's archives have them. They may come from anybody: the memory that one can ask for is bounded.

use std::io::{self, Read};

/// How much memory a decompressor may take for its window, in bytes: what `xz -9` needs.
const LARGEST_WINDOW: u64 = 66 << 20;

/// How many bytes of a stream tell its kind.
pub const LONGEST_MAGIC: usize = 6;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// The kind that an ending of a file name stands for, e.g. `.xz`; an empty one stands for none.
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension {
            "" => Some(Self::None),
            ".gz" => Some(Self::Gzip),
            ".xz" => Some(Self::Xz),
            ".zst" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The kind that the first bytes of a stream tell, [`LONGEST_MAGIC`] of them; what they do not tell is not compressed.
    pub fn of_magic(start: &[u8]) -> Self {
        const MAGIC: [(&[u8], Compression); 3] = [
            (b"\x1f\x8b", Compression::Gzip),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        ];
        let known = MAGIC.iter().find(|(magic, _)| start.starts_with(magic));
        known.map_or(Self::None, |(_, compression)| *compression)
    }

    /// What a stream holds, unpacked as it is read.
    pub fn unpack<'a>(self, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
            Self::Xz => {
                let limit = (LARGEST_WINDOW >> 10) as u32;
                Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, limit))
            }
            Self::Zstd => {
                use ruzstd::decoding::StreamingDecoder;
                let decoder = StreamingDecoder::new_with_max_window_size(packed, LARGEST_WINDOW);
                Box::new(decoder.map_err(io::Error::other)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_kind() {
        assert_eq!(
            Compression::of_magic(b"\x1f\x8b\x08\0\0\0"),
            Compression::Gzip
        );
        assert_eq!(Compression::of_magic(b"\xfd7zXZ\0"), Compression::Xz);
        assert_eq!(
            Compression::of_magic(b"\x28\xb5\x2f\xfd\0\0"),
            Compression::Zstd
        );
        for start in [&b"./etc/"[..], b"\xfd7zX", b""] {
            assert_eq!(Compression::of_magic(start), Compression::None);
        }
    }

    #[test]
    fn a_stream_that_is_cut_short_is_an_error() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packed, &[7; 5000]).unwrap();
        let packed = packed.finish().unwrap();
        let unpacked = |packed: &[u8]| {
            let mut content = Vec::new();
            let mut stream = Compression::of_magic(packed).unpack(packed)?;
            stream.read_to_end(&mut content).map(|_| content)
        };
        assert_eq!(unpacked(&packed).unwrap(), [7; 5000]);
        assert!(unpacked(&packed[..packed.len() - 9]).is_err());
    }
}
