//! Streaming encoders and the one-shot form.

use crate::Coding;
use brotli::enc::StandardAlloc;
use brotli::enc::backward_references::BrotliEncoderParams;
use brotli::enc::encode::{
    BrotliEncoderOperation as BrotliOp, BrotliEncoderParameter, BrotliEncoderStateStruct,
};
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::stream::raw::{CParameter, OutBuffer};
use zstd::zstd_safe::{CCtx, InBuffer, ResetDirective};

/// Level of gzip on the way: the knee of the curve; level 6 costs a third more for one percent.
const GZIP_LEVEL: u32 = 5;
/// Window of gzip, as a power of two: the format's largest, and 32 KiB only.
const GZIP_WINDOW: u8 = 15;
/// Quality of Brotli on the way: about gzip's size at twice its cost; below it is larger than gzip.
const BROTLI_QUALITY: u32 = 4;
/// Window of Brotli on the way, as a power of two: 256 KiB holds nearly every page.
const BROTLI_WINDOW: u32 = 18;
/// Level of Zstandard on the way: its own default.
const ZSTD_LEVEL: i32 = 3;
/// Window of Zstandard on the way, as a power of two: 256 KiB. (Decoders must accept 8 MiB, RFC 9659.)
const ZSTD_WINDOW: u32 = 18;

/// Levels for bodies that will be kept: more work once for fewer bytes many times.
const GZIP_WHOLE_LEVEL: u32 = 8;
const BROTLI_WHOLE_QUALITY: i32 = 7;
const ZSTD_WHOLE_LEVEL: i32 = 9;
/// Window for bodies that will be kept, as a power of two: as long as the longest of them.
const WHOLE_WINDOW: u32 = 20;

/// Longest body [`compress_whole`] takes, in bytes: 1 MiB keeps a worker busy for about 50 ms at worst, with
/// gzip and Brotli; callers with a shorter patience set a lower limit of their own.
pub const WHOLE_MAX_BYTES: usize = 1 << 20;

/// Room made in the output before each step, in bytes.
const STEP_BYTES: usize = 4096;

/// Why a body could not be encoded. Ours to blame, never the client's or the origin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Bytes came after the end.
    #[error("the encoder was finished already")]
    Finished,
    /// The body is longer than [`WHOLE_MAX_BYTES`].
    #[error("the body is longer than one-shot encoding takes")]
    TooLong,
    /// The library failed: out of memory, or a fault in it.
    #[error("the {0} encoder failed")]
    Codec(&'static str),
}

/// Encodes one body as it comes.
///
/// Output is appended to the caller's vector. Memory is bounded by the windows above whatever the length of the body:
/// about 0.3 MiB for gzip, 3.6 MiB for Brotli and 1.4 MiB for Zstandard (`examples/cost.rs` measures it). Each call appends at most what it was given plus what was held back, plus a few bytes of framing.
pub struct Encoder {
    inner: Inner,
    finished: bool,
}

enum Inner {
    Gzip(Box<Compress>),
    Brotli(Box<BrotliEncoderStateStruct<StandardAlloc>>),
    Zstd(Box<CCtx<'static>>),
}

impl Encoder {
    /// An encoder for one body. Prefer [`crate::Pool::take`].
    ///
    /// # Errors
    /// [`EncodeError::Codec`] when there is no memory for it.
    pub fn new(coding: Coding) -> Result<Self, EncodeError> {
        let inner = match coding {
            Coding::Gzip => {
                Inner::Gzip(Box::new(Compress::new_gzip(Compression::new(GZIP_LEVEL), GZIP_WINDOW)))
            }
            Coding::Brotli => Inner::Brotli(Box::new(brotli_state())),
            Coding::Zstd => {
                let mut context = CCtx::try_create().ok_or(EncodeError::Codec("zstd"))?;
                set_zstd(&mut context, ZSTD_LEVEL, ZSTD_WINDOW)?;
                Inner::Zstd(Box::new(context))
            }
        };
        Ok(Encoder { inner, finished: false })
    }

    /// The coding it produces.
    #[must_use]
    pub fn coding(&self) -> Coding {
        match self.inner {
            Inner::Gzip(_) => Coding::Gzip,
            Inner::Brotli(_) => Coding::Brotli,
            Inner::Zstd(_) => Coding::Zstd,
        }
    }

    /// Encodes `input`. Some of it may be held back until [`Encoder::flush`] or [`Encoder::finish`].
    ///
    /// # Errors
    /// [`EncodeError::Finished`] after the end, [`EncodeError::Codec`] when the library fails.
    pub fn write(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.step(Step::Write, input, out)
    }

    /// Appends everything held back, so that all that was written can be decoded from what was appended so far.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.step(Step::Flush, &[], out)
    }

    /// Appends everything held back and the end of the coding. Due exactly once, for an empty body too.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.step(Step::Finish, &[], out)?;
        self.finished = true;
        Ok(())
    }

    /// Makes it ready for another body. Returns false when this coding cannot be reused, and the encoder is to be dropped.
    pub(crate) fn reset(&mut self) -> bool {
        self.finished = false;
        match &mut self.inner {
            Inner::Gzip(state) => {
                state.reset();
                true
            }
            Inner::Zstd(context) => context.reset(ResetDirective::SessionOnly).is_ok(),
            Inner::Brotli(_) => false,
        }
    }

    fn step(&mut self, step: Step, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.finished {
            return Err(EncodeError::Finished);
        }
        match &mut self.inner {
            Inner::Gzip(state) => gzip(state, step, input, out),
            Inner::Brotli(state) => brotli(state, step, input, out),
            Inner::Zstd(context) => zstd(context, step, input, out),
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("coding", &self.coding()).field("finished", &self.finished).finish()
    }
}

/// Encodes a body that will be kept and served many times: slower and smaller than [`Encoder`].
///
/// # Errors
/// [`EncodeError::TooLong`] above [`WHOLE_MAX_BYTES`], [`EncodeError::Codec`] when the library fails.
pub fn compress_whole(body: &[u8], coding: Coding) -> Result<Vec<u8>, EncodeError> {
    if body.len() > WHOLE_MAX_BYTES {
        return Err(EncodeError::TooLong);
    }
    let mut out = Vec::with_capacity(body.len() / 3 + 64);
    match coding {
        Coding::Gzip => {
            let mut state = Compress::new_gzip(Compression::new(GZIP_WHOLE_LEVEL), GZIP_WINDOW);
            gzip(&mut state, Step::Write, body, &mut out)?;
            gzip(&mut state, Step::Finish, &[], &mut out)?;
        }
        Coding::Brotli => {
            let params = BrotliEncoderParams {
                quality: BROTLI_WHOLE_QUALITY,
                lgwin: WHOLE_WINDOW as i32,
                size_hint: body.len(),
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &*body, &mut out, &params).map_err(|_| EncodeError::Codec("br"))?;
        }
        Coding::Zstd => {
            let mut context = CCtx::try_create().ok_or(EncodeError::Codec("zstd"))?;
            set_zstd(&mut context, ZSTD_WHOLE_LEVEL, WHOLE_WINDOW)?;
            // Exact here, and it lets the library size its tables to the body.
            context.set_pledged_src_size(Some(body.len() as u64)).map_err(|_| EncodeError::Codec("zstd"))?;
            zstd(&mut context, Step::Write, body, &mut out)?;
            zstd(&mut context, Step::Finish, &[], &mut out)?;
        }
    }
    out.shrink_to_fit();
    Ok(out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Flush,
    Finish,
}

fn gzip(state: &mut Compress, step: Step, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let flush = match step {
        Step::Write => FlushCompress::None,
        Step::Flush => FlushCompress::Sync,
        Step::Finish => FlushCompress::Finish,
    };
    let mut rest = input;
    loop {
        // Never an empty output buffer, and for a flush enough that it ends in one step: asked again, zlib adds an empty block.
        out.reserve(STEP_BYTES.max(rest.len() / 4));
        let before = state.total_in();
        let status = state.compress_vec(rest, out, flush).map_err(|_| EncodeError::Codec("gzip"))?;
        rest = rest.get((state.total_in() - before) as usize..).unwrap_or(&[]);
        let full = out.len() == out.capacity();
        let done = match step {
            Step::Write => rest.is_empty() && !full,
            Step::Flush => !full,
            Step::Finish => status == Status::StreamEnd,
        };
        if done {
            return Ok(());
        }
    }
}

/// Brotli is asked for its output where it lies instead of being given a buffer: one copy less.
fn brotli(
    state: &mut BrotliEncoderStateStruct<StandardAlloc>,
    step: Step,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let op = match step {
        Step::Write => BrotliOp::BROTLI_OPERATION_PROCESS,
        Step::Flush => BrotliOp::BROTLI_OPERATION_FLUSH,
        Step::Finish => BrotliOp::BROTLI_OPERATION_FINISH,
    };
    let (mut left, mut offset) = (input.len(), 0);
    loop {
        let ok = state.compress_stream(
            op,
            &mut left,
            input,
            &mut offset,
            &mut 0,
            &mut [],
            &mut 0,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if !ok {
            return Err(EncodeError::Codec("br"));
        }
        let mut pushed = false;
        while state.has_more_output() {
            let mut size = 0;
            let bytes = state.take_output(&mut size);
            out.extend_from_slice(bytes.get(..size).unwrap_or(bytes));
            pushed = true;
        }
        let done = match step {
            Step::Write => left == 0,
            Step::Flush => !pushed,
            Step::Finish => state.is_finished(),
        };
        if done {
            return Ok(());
        }
    }
}

fn zstd(context: &mut CCtx<'_>, step: Step, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut source = InBuffer::around(input);
    loop {
        out.reserve(STEP_BYTES);
        let start = out.len();
        let mut target = OutBuffer::around_pos(out, start);
        let left = match step {
            Step::Write => context.compress_stream(&mut target, &mut source),
            Step::Flush => context.flush_stream(&mut target),
            Step::Finish => context.end_stream(&mut target),
        };
        let left = left.map_err(|_| EncodeError::Codec("zstd"))?;
        let done = match step {
            Step::Write => source.pos() == input.len(),
            Step::Flush | Step::Finish => left == 0,
        };
        if done {
            return Ok(());
        }
    }
}

fn set_zstd(context: &mut CCtx<'_>, level: i32, window: u32) -> Result<(), EncodeError> {
    for parameter in [CParameter::CompressionLevel(level), CParameter::WindowLog(window)] {
        context.set_parameter(parameter).map_err(|_| EncodeError::Codec("zstd"))?;
    }
    Ok(())
}

fn brotli_state() -> BrotliEncoderStateStruct<StandardAlloc> {
    let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, BROTLI_QUALITY);
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, BROTLI_WINDOW);
    state
}
