//! Answering from the cache: in which form, with which fields, from where the bytes come.

use crate::cached::{Extra, Found, Question};
use crate::exchange::{Exchange, Facts, Fail};
use crate::fetch::{self, NoBody};
use crate::message::{Reply, Sink};
use crate::respond;
use bytes::{Bytes, BytesMut};
use seawall_cachestore::{Follower, Meta, Object, SLICE};
use seawall_compress::Coding;
use seawall_http::h1::encode::KnownSet;
use seawall_http::{BodyLength, Fields, Known, Method, ResponseHead};
use seawall_httpcache as httpcache;
use seawall_httpcache::{Answer, CacheStatus as Told, StatusText, Stored};
use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// Longest body compressed whole and kept compressed, in bytes: a few milliseconds of a worker at most. Longer ones
/// are compressed on the way out, a piece at a time.
const PACK_MAX: usize = 128 * 1024;
/// Our name in Cache-Status.
const NAME: &str = "seawall";

/// A response held by the cache, or on its way into it.
pub(crate) enum Held<'h> {
    Stored(&'h Arc<Object>),
    Arriving(&'h Meta, Follower),
}

impl<'h> Held<'h> {
    fn meta(&self) -> &'h Meta {
        match self {
            Held::Stored(object) => &object.meta,
            Held::Arriving(meta, _) => meta,
        }
    }
}

/// Answers from a stored object.
pub(crate) async fn object<S: Sink>(
    x: &Exchange<'_>,
    q: &Question<'_>,
    found: &Found,
    age_s: u32,
    told: &Told<'_>,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    held(x, q, Held::Stored(&found.object), &found.stored, age_s, told, added, sink, facts).await
}

/// Answers once more from an object that must not be kept, under fields that are not stored with it.
pub(crate) async fn last<S: Sink>(
    x: &Exchange<'_>,
    q: &Question<'_>,
    found: &Found,
    fields: &Fields,
    age_s: u32,
    told: &Told<'_>,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    send(x, q, Held::Stored(&found.object), &found.stored, fields, age_s, told, added, sink, facts).await
}

/// Answers from what is held.
pub(crate) async fn held<S: Sink>(
    x: &Exchange<'_>,
    q: &Question<'_>,
    held: Held<'_>,
    stored: &Stored,
    age_s: u32,
    told: &Told<'_>,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let fields = &held.meta().fields;
    send(x, q, held, stored, fields, age_s, told, added, sink, facts).await
}

/// Writes our member of Cache-Status.
pub(crate) fn tell(added: &mut Fields, told: &Told<'_>) {
    let mut text = StatusText::new();
    told.write(NAME, &mut text);
    added.add(Known::CacheStatus, &text);
}

/// Answers from what is held, under these fields.
pub(crate) async fn send<S: Sink>(
    x: &Exchange<'_>,
    q: &Question<'_>,
    held: Held<'_>,
    stored: &Stored,
    fields: &Fields,
    age_s: u32,
    told: &Told<'_>,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let meta = held.meta();
    let length = meta.body_len;
    added.clear();
    tell(added, told);
    if told.forward.is_none() || age_s > 0 {
        added.add(Known::Age, itoa::Buffer::new().format(age_s).as_bytes());
    }
    let mut leave_out = respond::OURS.with(Known::Age);
    if let Some(max_age) = x.route.cache.client_max_age_s(age_s) {
        leave_out = leave_out.with(Known::CacheControl).with(Known::Expires);
        added.add(Known::CacheControl, format!("max-age={max_age}").as_bytes());
    }
    let extra = Extra::of(meta);
    let mut coding = None;
    if x.route.compression && extra.is_text() {
        coding = choose(q, extra, length);
        // Due on the plain form too: a cache behind us must not keep that for all.
        if coding.is_none() && !extra.varies_by_coding() {
            added.add(Known::Vary, b"Accept-Encoding");
        }
    }
    let out = |status| Out { x, q, leave_out, status };
    match httpcache::answer(&q.asked, &q.request.fields, stored, fields, length, x.w.unix_ms()) {
        Answer::Whole => {
            let out = out(meta.status);
            if let Some(coding) = coding {
                return Box::pin(out.encoded(fields, held, coding, added, sink, facts)).await;
            }
            let fields = edited(x, Cow::Borrowed(fields), facts)?;
            if q.asked.method == Method::Head {
                return out.head_only(&fields, length, added, sink, facts).await;
            }
            out.body(&fields, Pieces::new(x, q, held, None), length, added, sink, facts).await
        }
        Answer::NotModified => {
            let mut shaped = Fields::new();
            httpcache::not_modified(fields, &mut shaped);
            // The fields a 200 would have had (RFC 9110 §15.4.5), which would have been compressed.
            if coding.is_some() {
                let mut head = ResponseHead { fields: shaped, ..ResponseHead::default() };
                if let Some(coding) = coding
                    && seawall_compress::apply_headers(&mut head, coding)
                {
                    head.fields.remove(Known::ContentEncoding);
                }
                shaped = head.fields;
            }
            let fields = edited(x, Cow::Owned(shaped), facts)?;
            out(304).head_only(&fields, None, added, sink, facts).await
        }
        Answer::Part { first, last } => {
            let mut shaped = Fields::new();
            httpcache::partial(fields, first, last, length.unwrap_or(0), &mut shaped);
            let fields = edited(x, Cow::Owned(shaped), facts)?;
            let pieces = Pieces::new(x, q, held, Some((first, last)));
            out(206).body(&fields, pieces, Some(last - first + 1), added, sink, facts).await
        }
        Answer::Unsatisfiable => {
            let mut shaped = Fields::new();
            httpcache::unsatisfiable(length.unwrap_or(0), &mut shaped);
            let fields = edited(x, Cow::Owned(shaped), facts)?;
            out(416).head_only(&fields, Some(0), added, sink, facts).await
        }
    }
}

/// The coding this client gets; of the response, all that counts was found out when it was stored.
fn choose(q: &Question<'_>, extra: Extra<'_>, length: Option<u64>) -> Option<Coding> {
    let fields = &q.request.fields;
    if !fields.has(Known::AcceptEncoding) || q.asked.range && q.request.method == Method::Get {
        return None;
    }
    let forbids = |line: &[u8]| {
        line.split(|b| *b == b',').any(|d| d.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    };
    if fields.all(Known::CacheControl).any(forbids) {
        return None;
    }
    let available = if extra.is_stream() { Coding::STREAM } else { Coding::STATIC };
    seawall_compress::negotiate(fields.all(Known::AcceptEncoding), available)
        .filter(|coding| length.is_none_or(|n| n >= coding.min_body_bytes()))
}

/// The route's edits, for which stored fields have to be copied.
fn edited<'f>(x: &Exchange<'_>, fields: Cow<'f, Fields>, facts: &mut Facts) -> Result<Cow<'f, Fields>, Fail> {
    if x.route.doc.response_headers.is_empty() {
        return Ok(fields);
    }
    let mut head = ResponseHead { fields: fields.into_owned(), ..ResponseHead::default() };
    respond::edit(x, &mut head, facts)?;
    Ok(Cow::Owned(head.fields))
}

/// A response on its way out of the cache.
struct Out<'o, 'x> {
    x: &'o Exchange<'x>,
    q: &'o Question<'o>,
    leave_out: KnownSet,
    status: u16,
}

impl Out<'_, '_> {
    fn reply<'r>(
        &self,
        fields: &'r Fields,
        added: &'r mut Fields,
        length: BodyLength,
        facts: &mut Facts,
    ) -> Reply<'r> {
        respond::own_fields(self.x, fields, facts.cache, added);
        facts.status = self.status;
        facts.first_byte_ns = Some(self.x.w.now_ns());
        Reply {
            status: self.status,
            reason: b"",
            fields,
            leave_out: self.leave_out,
            added,
            length,
            told_length: None,
        }
    }

    async fn head_only<S: Sink>(
        &self,
        fields: &Fields,
        length: Option<u64>,
        added: &mut Fields,
        sink: &mut S,
        facts: &mut Facts,
    ) -> Result<(), Fail> {
        let reply = Reply { told_length: length, ..self.reply(fields, added, BodyLength::None, facts) };
        Ok(sink.head(&reply, Bytes::new(), true).await?)
    }

    async fn body<S: Sink>(
        &self,
        fields: &Fields,
        mut pieces: Pieces<'_, '_>,
        length: Option<u64>,
        added: &mut Fields,
        sink: &mut S,
        facts: &mut Facts,
    ) -> Result<(), Fail> {
        let bodiless = seawall_http::framing::bodiless(self.q.asked.method, self.status);
        if length == Some(0) || bodiless {
            return self.head_only(fields, length.filter(|_| self.status != 204), added, sink, facts).await;
        }
        let framing = length.map_or(BodyLength::Chunked, BodyLength::Exact);
        let first = pieces.ready().unwrap_or_default();
        let last = length == Some(first.len() as u64);
        let reply = self.reply(fields, added, framing, facts);
        sink.head(&reply, first, last).await?;
        if last {
            return Ok(());
        }
        while let Some(piece) = pieces.next().await? {
            sink.data(piece).await?;
        }
        Ok(sink.end(None).await?)
    }

    /// A body to be compressed: from the cache if it was before, else now.
    async fn encoded<S: Sink>(
        &self,
        fields: &Fields,
        held: Held<'_>,
        coding: Coding,
        added: &mut Fields,
        sink: &mut S,
        facts: &mut Facts,
    ) -> Result<(), Fail> {
        let length = held.meta().body_len;
        let is_head = self.q.asked.method == Method::Head;
        let mut packed = None;
        if let Held::Stored(object) = &held
            && let Some(whole) = object.body().whole().filter(|w| w.len() <= PACK_MAX)
        {
            packed = match self.packed(object, coding) {
                None if !is_head => Some(self.pack(object, whole, coding)?),
                packed => packed,
            };
            let unedited = self.x.route.doc.response_headers.is_empty();
            if let Some(packed) =
                packed.as_ref().filter(|_| unedited && std::ptr::eq(fields, &object.meta.fields))
            {
                return self.send_packed(&packed.meta.fields, packed, length, added, sink, facts).await;
            }
        }
        let mut head = ResponseHead { fields: fields.clone(), ..ResponseHead::default() };
        if !seawall_compress::apply_headers(&mut head, coding) {
            let fields = edited(self.x, Cow::Owned(head.fields), facts)?;
            if is_head {
                return self.head_only(&fields, length, added, sink, facts).await;
            }
            let pieces = Pieces::new(self.x, self.q, held, None);
            return self.body(&fields, pieces, length, added, sink, facts).await;
        }
        let fields = edited(self.x, Cow::Owned(head.fields), facts)?;
        if let Some(packed) = &packed {
            return self.send_packed(&fields, packed, length, added, sink, facts).await;
        }
        if is_head {
            return self.head_only(&fields, None, added, sink, facts).await;
        }
        facts.uncompressed = length;
        let mut encoder = self.x.w.encoders.borrow_mut().take(coding).map_err(|_| Fail::Broken)?;
        let mut pieces = Pieces::new(self.x, self.q, held, None);
        let reply = self.reply(&fields, added, BodyLength::Chunked, facts);
        sink.head(&reply, Bytes::new(), false).await?;
        loop {
            let mut next = std::pin::pin!(pieces.next());
            let piece = match poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
                Poll::Ready(piece) => piece,
                // A fill that waits for its origin: what the client could use already is not held back.
                Poll::Pending => {
                    let mut out = Vec::new();
                    encoder.flush(&mut out).map_err(|_| Fail::Broken)?;
                    if !out.is_empty() {
                        sink.data(out.into()).await?;
                    }
                    next.await
                }
            };
            let Some(piece) = piece? else { break };
            let mut out = Vec::new();
            encoder.write(&piece, &mut out).map_err(|_| Fail::Broken)?;
            if !out.is_empty() {
                sink.data(out.into()).await?;
            }
        }
        let mut out = Vec::new();
        encoder.finish(&mut out).map_err(|_| Fail::Broken)?;
        self.x.w.encoders.borrow_mut().put(encoder);
        if !out.is_empty() {
            sink.data(out.into()).await?;
        }
        Ok(sink.end(None).await?)
    }

    async fn send_packed<S: Sink>(
        &self,
        fields: &Fields,
        packed: &Object,
        uncompressed: Option<u64>,
        added: &mut Fields,
        sink: &mut S,
        facts: &mut Facts,
    ) -> Result<(), Fail> {
        let body = packed.body().whole().cloned().unwrap_or_default();
        if self.q.asked.method == Method::Head {
            return self.head_only(fields, Some(body.len() as u64), added, sink, facts).await;
        }
        facts.uncompressed = uncompressed;
        let reply = self.reply(fields, added, BodyLength::Exact(body.len() as u64), facts);
        Ok(sink.head(&reply, body, true).await?)
    }

    /// The compressed copy of an object, head and all, if there is one.
    fn packed(&self, object: &Arc<Object>, coding: Coding) -> Option<Arc<Object>> {
        let store = &self.x.w.process.store;
        let key = self.packed_key(object, coding);
        let found = store.memory(&key)?;
        if found.meta.created_ms == object.meta.created_ms {
            return Some(found);
        }
        // Validated since: the body is the same, the fields may not be.
        store.insert(&key, object.seq(), packed_meta(object, coding)?, found.body().whole()?.clone())
    }

    /// Compresses an object's body and keeps the result beside it, under its labels: purges find both.
    fn pack(&self, object: &Arc<Object>, whole: &Bytes, coding: Coding) -> Result<Arc<Object>, Fail> {
        let packed: Bytes = seawall_compress::compress_whole(whole, coding).map_err(|_| Fail::Broken)?.into();
        let meta = packed_meta(object, coding).ok_or(Fail::Broken)?;
        let (key, store) = (self.packed_key(object, coding), &self.x.w.process.store);
        let kept = store.insert(&key, object.seq(), meta.clone(), packed.clone());
        Ok(kept.unwrap_or_else(|| Arc::new(Object::unstored(key, object.seq(), meta, packed))))
    }

    fn packed_key(&self, object: &Arc<Object>, coding: Coding) -> seawall_cachestore::Key {
        let (key, seq) = (object.key().0.to_le_bytes(), object.seq().to_le_bytes());
        crate::cached::slot(self.x.w.process.keys.mark(b'c', &[&key, &seq, coding.name().as_bytes()]))
    }
}

/// The head of a compressed copy; `None` if there is no room for the fields.
fn packed_meta(object: &Object, coding: Coding) -> Option<Meta> {
    let meta = &object.meta;
    let mut head = ResponseHead { fields: meta.fields.clone(), ..ResponseHead::default() };
    seawall_compress::apply_headers(&mut head, coding).then_some(())?;
    Some(Meta {
        status: meta.status,
        fields: head.fields,
        labels: meta.labels.clone(),
        created_ms: meta.created_ms,
        ..Meta::default()
    })
}

/// The bytes of a held body, or of a range of it, in order.
struct Pieces<'p, 'x> {
    x: &'p Exchange<'x>,
    q: &'p Question<'p>,
    held: Held<'p>,
    position: u64,
    /// First byte that is not wanted.
    end: Option<u64>,
}

impl<'p, 'x> Pieces<'p, 'x> {
    fn new(x: &'p Exchange<'x>, q: &'p Question<'p>, mut held: Held<'p>, range: Option<(u64, u64)>) -> Self {
        let (position, end) = match range {
            Some((first, last)) => (first, Some(last + 1)),
            None => (0, held.meta().body_len),
        };
        if let Held::Arriving(_, follower) = &mut held {
            follower.seek(position);
        }
        Pieces { x, q, held, position, end }
    }

    /// All of it, if it lies whole in memory.
    fn ready(&mut self) -> Option<Bytes> {
        let Held::Stored(object) = &self.held else { return None };
        let whole = object.body().whole()?;
        let (from, to) = (usize::try_from(self.position).ok()?, usize::try_from(self.end?).ok()?);
        let piece = if from <= to && to <= whole.len() { whole.slice(from..to) } else { return None };
        self.position = self.end?;
        Some(piece)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Fail> {
        if self.end.is_some_and(|end| self.position >= end) {
            return Ok(None);
        }
        let mut piece = match &mut self.held {
            Held::Arriving(_, follower) => match follower.next().await {
                None => return Ok(None),
                Some(Ok(piece)) => piece,
                Some(Err(_)) => return Err(Fail::Broken),
            },
            Held::Stored(object) => {
                let object = *object;
                match self.stored_piece(object).await? {
                    Some(piece) => piece,
                    None => return Ok(None),
                }
            }
        };
        if let Some(left) = self.end.map(|end| end - self.position)
            && left < piece.len() as u64
        {
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        self.position += piece.len() as u64;
        Ok(Some(piece))
    }

    async fn stored_piece(&mut self, object: &Arc<Object>) -> Result<Option<Bytes>, Fail> {
        let body = object.body();
        let (slice, offset) = match body.whole() {
            Some(whole) => (whole.clone(), self.position),
            None => {
                let index = u32::try_from(self.position / SLICE as u64).map_err(|_| Fail::Broken)?;
                let slice = match body.slice(index).await {
                    Some(slice) => slice,
                    None => self.refetch(object, index).await?,
                };
                (slice, self.position % SLICE as u64)
            }
        };
        let offset = usize::try_from(offset).map_err(|_| Fail::Broken)?;
        Ok((offset < slice.len()).then(|| slice.slice(offset..)))
    }

    /// Gets a slice that has left the cache from the origin again, if it is still of the same representation.
    async fn refetch(&self, object: &Arc<Object>, index: u32) -> Result<Bytes, Fail> {
        let first = u64::from(index) * SLICE as u64;
        let last = (first + SLICE as u64).min(object.body().len()).saturating_sub(1);
        let mut fields = self.q.request.fields.clone();
        httpcache::for_whole(&mut fields);
        let tag =
            object.meta.fields.get(Known::ETag).filter(|t| !t.starts_with(b"W/")).ok_or(Fail::Broken)?;
        fields.add(Known::Range, format!("bytes={first}-{last}").as_bytes());
        fields.add(Known::IfRange, tag);
        let (mut response, mut added, mut facts) = (ResponseHead::default(), Fields::new(), Facts::default());
        let (mut nobody, mut nowhere) = (NoBody, crate::filling::Nowhere);
        let fetching = fetch::fetch(
            self.x,
            self.q.request,
            &fields,
            &mut response,
            &mut added,
            &mut nobody,
            &mut nowhere,
            &mut facts,
        );
        let mut fetched = Box::pin(fetching).await?;
        let wanted = format!("bytes {first}-{last}/{}", object.body().len());
        if response.status != 206 || response.fields.get(Known::ContentRange) != Some(wanted.as_bytes()) {
            self.x.w.process.store.remove(&object.key());
            fetched.finish(self.x, &mut facts, false);
            return Err(Fail::Broken);
        }
        let mut slice = BytesMut::with_capacity(SLICE);
        while let Some(piece) = fetched.source.next().await? {
            if slice.len() + piece.len() > SLICE {
                break;
            }
            slice.extend_from_slice(&piece);
        }
        let whole = slice.len() as u64 == last - first + 1;
        fetched.finish(self.x, &mut facts, whole);
        if whole { Ok(slice.freeze()) } else { Err(Fail::Broken) }
    }
}
