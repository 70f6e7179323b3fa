//! Compression frames: one zstd stream, flushed at each block, so that what a reader decompresses up to the end of a
//! block is what was appended up to there. Frames are never closed; the next one just begins.

use std::{
    fmt, io,
    sync::{Mutex, PoisonError},
};

use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

/// Largest window that a reader accepts (8 MiB), whatever the file says.
pub(crate) const MAX_WINDOW_LOG: u32 = 23;

/// Compresses the blocks of a frame.
pub(crate) struct FrameEncoder(Encoder<'static>);

impl fmt::Debug for FrameEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameEncoder")
    }
}

impl FrameEncoder {
    fn new(level: i32, window_log: u32) -> io::Result<Self> {
        let mut encoder = Encoder::new(level)?;
        encoder.set_parameter(CParameter::WindowLog(window_log))?;
        Ok(Self(encoder))
    }

    /// Begins a new frame.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        self.0.reinit()
    }

    /// Adds bytes to the block.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            with_room(out, |room| self.0.run(&mut input, room))?;
        }
        Ok(())
    }

    /// Ends the block.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        while with_room(out, |room| self.0.flush(room))? > 0 {}
        Ok(())
    }
}

/// Lets `step` write into some room behind `out`.
fn with_room(
    out: &mut Vec<u8>,
    step: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<usize> {
    let filled = out.len();
    if out.capacity() - filled < 1024 {
        out.reserve(8 * 1024);
    }
    let mut room = OutBuffer::around_pos(out, filled);
    step(&mut room)
}

/// Decompresses the blocks of a frame in their order.
pub(crate) struct FrameDecoder(Decoder<'static>);

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameDecoder")
    }
}

impl FrameDecoder {
    pub(crate) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
        Ok(Self(decoder))
    }

    /// Begins a new frame.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        self.0.reinit()
    }

    /// Decompresses a block that comes to exactly `len` bytes. False if it does not: then the frame is unusable.
    pub(crate) fn block(&mut self, payload: &[u8], len: usize, out: &mut Vec<u8>) -> bool {
        out.resize(len, 0);
        let (mut read, mut written) = (0, 0);
        loop {
            let Ok(status) = self.0.run_on_buffers(&payload[read..], &mut out[written..]) else {
                return false;
            };
            read += status.bytes_read;
            written += status.bytes_written;
            if read == payload.len() && written == len {
                return true;
            }
            if status.bytes_read == 0 && status.bytes_written == 0 {
                return false;
            }
        }
    }
}

/// Idle compression contexts: 2.7 MB each, so logs share them.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<Vec<FrameEncoder>>,
    level: i32,
    window_log: u32,
}

impl Pool {
    /// Contexts kept for later; more are freed.
    const KEEP: usize = 8;

    pub(crate) fn new(level: i32, window_log: u32) -> Self {
        Self {
            idle: Mutex::default(),
            level,
            window_log,
        }
    }

    /// A context at the beginning of a frame.
    pub(crate) fn get(&self) -> io::Result<FrameEncoder> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(mut encoder) => encoder.reset().map(|()| encoder),
            None => FrameEncoder::new(self.level, self.window_log),
        }
    }

    /// Takes a context back.
    pub(crate) fn put(&self, encoder: FrameEncoder) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < Self::KEEP {
            idle.push(encoder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameDecoder, Pool};

    #[test]
    fn each_block_is_whole_when_flushed() {
        let pool = Pool::new(1, 19);
        let mut decoder = FrameDecoder::new().unwrap();
        for _ in 0..3 {
            let mut encoder = pool.get().unwrap();
            decoder.reset().unwrap();
            for block in 0..50_usize {
                let plain: Vec<u8> = (0..block * 997)
                    .map(|i| (i * i / 7) as u8 ^ (i >> 3) as u8)
                    .collect();
                let mut packed = Vec::new();
                for part in plain.chunks(1000) {
                    encoder.push(part, &mut packed).unwrap();
                }
                encoder.flush(&mut packed).unwrap();
                let mut back = Vec::new();
                assert!(decoder.block(&packed, plain.len(), &mut back));
                assert_eq!(back, plain);
            }
            pool.put(encoder);
        }
    }

    /// What `LogWriter` and `LogReader` promise about their memory is mostly this.
    #[test]
    fn contexts_have_the_documented_size() {
        use zstd::zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer};

        let options = crate::Options::default();
        let mut encoder = CCtx::create();
        encoder
            .set_parameter(CParameter::CompressionLevel(options.level))
            .unwrap();
        encoder
            .set_parameter(CParameter::WindowLog(options.window_log))
            .unwrap();
        let mut decoder = DCtx::create();
        for n in 0..100_u32 {
            let plain: Vec<u8> = (0..64 * 1024_u32)
                .map(|i| (i.wrapping_mul(n + 77) >> 11) as u8)
                .collect();
            let mut packed = vec![0; 128 * 1024];
            let mut out = OutBuffer::around(&mut packed[..]);
            encoder
                .compress_stream(&mut out, &mut InBuffer::around(&plain))
                .unwrap();
            assert_eq!(encoder.flush_stream(&mut out), Ok(0));
            let len = out.pos();
            let mut back = vec![0; plain.len()];
            decoder
                .decompress_stream(
                    &mut OutBuffer::around(&mut back[..]),
                    &mut InBuffer::around(&packed[..len]),
                )
                .unwrap();
            assert_eq!(back, plain);
        }
        let (encoder, decoder) = (encoder.sizeof(), decoder.sizeof());
        assert!(encoder < 2900 * 1000, "{encoder}");
        assert!(decoder < 1700 * 1000, "{decoder}");
        println!("encoder {encoder}, decoder {decoder}");
    }

    #[test]
    fn wrong_lengths_and_garbage_are_refused() {
        let mut encoder = Pool::new(1, 19).get().unwrap();
        let mut packed = Vec::new();
        encoder.push(&[b'x'; 5000], &mut packed).unwrap();
        encoder.flush(&mut packed).unwrap();
        for (payload, len) in [
            (packed.as_slice(), 5001),
            (&packed[..packed.len() - 1], 5000),
            (b"garbage".as_slice(), 5),
            (b"".as_slice(), 1),
        ] {
            let mut decoder = FrameDecoder::new().unwrap();
            assert!(!decoder.block(payload, len, &mut Vec::new()), "{len}");
        }
    }
}
