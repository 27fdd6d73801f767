//! Copies lists of texts, units, spans and pieces between host and guests in bulk.
//!
//! The bindings that wasmtime generates first make a `Vec` and `String`s, and then copy field by field, looking up the guest's memory each
//! time; that took a sixth of a chunker's time. This module implements the canonical ABI of `list<span>`, `string`, `list<unit>` and
//! `list<piece>` by hand. The generated types check both sides, so that it cannot differ from the contract. Bounds are checked as wasmtime
//! checks them.

// wasmtime's traits to lift and lower lists are unsafe; each implementation says why it is sound.
#![allow(unsafe_code)]

use super::bindings::chunker::exports::ibid::plugin::chunking;
use super::bindings::import::types;
use ibid_types::document::{Document, Span, Unit};
use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext, bad_type_info};
use wasmtime::component::{ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail};

/// The guest's pointer and length of a list or a string.
type Pair = [ValRaw; 2];

const SPAN_BYTES: usize = <types::Span as ComponentType>::SIZE32;
const UNIT_BYTES: usize = <types::Unit as ComponentType>::SIZE32;
const CODED_BYTES: usize = <types::CodedUnit as ComponentType>::SIZE32;
const PIECE_BYTES: usize = <chunking::Piece as ComponentType>::SIZE32;

// The layout of records: a span is two numbers; a unit is a span, a string (or a number), a byte and an option of a span; a piece is a span
// and two lists. Bytes take as much room as the alignment of the next field needs.
const _: () = assert!(SPAN_BYTES == 8 && UNIT_BYTES == 32 && CODED_BYTES == 28 && PIECE_BYTES == 24);

/// Returns the number at an offset of a record.
fn number(record: &[u8], at: usize) -> u32 {
    let bytes = record.get(at..).and_then(|rest| rest.first_chunk());
    u32::from_le_bytes(bytes.copied().unwrap_or_default())
}

/// Returns the bytes of a guest's list of `count` elements, each of which takes `held` bytes in the host.
fn list<'a>(cx: &mut LiftContext<'a>, (start, count): (u32, u32), element: usize, align: u32, held: usize) -> Result<&'a [u8]> {
    if start % align != 0 {
        bail!("list pointer is not aligned");
    }
    let (start, count) = (start as usize, count as usize);
    cx.consume_fuel_array(count, held)?;
    let end = count.checked_mul(element).and_then(|bytes| bytes.checked_add(start));
    let Some(bytes) = end.and_then(|end| cx.memory().get(start..end)) else {
        bail!("list pointer/length out of bounds of memory");
    };
    Ok(bytes)
}

/// A list of the contract's records.
trait Records: Send + Sync {
    /// The generated type of a record.
    type Record: ComponentType;
}

/// Records that a guest passes to the host.
trait LiftRecords: Records + Sized {
    /// Reads the list of type `ty` at an address of the guest's memory.
    fn read(cx: &mut LiftContext<'_>, ty: InterfaceType, place: (u32, u32)) -> Result<Self>;
}

/// Records that the host passes to a guest.
trait LowerRecords: Records<Record: Lower> {
    /// Writes them to memory that the guest allocates. Returns their address and their number.
    fn write<T>(&self, cx: &mut LowerContext<'_, T>) -> Result<(usize, usize)>;

    /// Returns the generated types, for a guest whose strings have another encoding than `write` produces.
    fn generated(&self, _: StringEncoding) -> Option<Vec<Self::Record>> {
        None
    }
}

/// A list of the contract's records, copied in bulk.
pub struct List<R>(pub R);

// SAFETY: it has the same layout as the generated type's list, which checks the type that it is lifted and lowered as.
unsafe impl<R: Records> ComponentType for List<R> {
    type Lower = Pair;
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[R::Record] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: it reads the guest's memory only within its bounds. Any bytes are valid numbers, and other fields are left to the generated
// types.
unsafe impl<R: LiftRecords> Lift for List<R> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, [start, count]: &Pair) -> Result<Self> {
        R::read(cx, ty, (start.get_u32(), count.get_u32())).map(Self)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        R::read(cx, ty, (number(bytes, 0), number(bytes, 4))).map(Self)
    }
}

// SAFETY: it writes the guest's memory only within its bounds, in the layout of the type that was checked.
unsafe impl<R: LowerRecords> Lower for List<R> {
    fn linear_lower_to_flat<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, target: &mut MaybeUninit<Pair>) -> Result<()> {
        if let Some(all) = self.0.generated(cx.options().string_encoding) {
            return all.linear_lower_to_flat(cx, ty, target);
        }
        let (at, count) = self.0.write(cx)?;
        target.write([ValRaw::i64(i64::try_from(at)?), ValRaw::i64(i64::try_from(count)?)]);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        if let Some(all) = self.0.generated(cx.options().string_encoding) {
            return all.linear_lower_to_memory(cx, ty, offset);
        }
        let (at, count) = self.0.write(cx)?;
        *cx.get(offset) = u32::try_from(at)?.to_le_bytes();
        *cx.get(offset + 4) = u32::try_from(count)?.to_le_bytes();
        Ok(())
    }
}

impl Records for Vec<Span> {
    type Record = types::Span;
}

impl LiftRecords for Vec<Span> {
    fn read(cx: &mut LiftContext<'_>, _: InterfaceType, place: (u32, u32)) -> Result<Self> {
        let bytes = list(cx, place, SPAN_BYTES, <types::Span as ComponentType>::ALIGN32, size_of::<Span>())?;
        let (spans, _) = bytes.as_chunks::<SPAN_BYTES>();
        Ok(spans.iter().map(|span| span_of(span)).collect())
    }
}

fn span_of(record: &[u8]) -> Span {
    Span::new(number(record, 0), number(record, 4))
}

/// One chunk as a guest passes it.
pub struct RawPiece {
    pub at: Span,
    pub context: Vec<Span>,
    pub attrs: Vec<types::Attr>,
}

impl Records for Vec<RawPiece> {
    type Record = chunking::Piece;
}

impl LiftRecords for Vec<RawPiece> {
    fn read(cx: &mut LiftContext<'_>, ty: InterfaceType, place: (u32, u32)) -> Result<Self> {
        let InterfaceType::List(ty) = ty else { bad_type_info() };
        let InterfaceType::Record(ty) = cx.types[ty].element else {
            bad_type_info()
        };
        let [_, context, attrs] = &*cx.types[ty].fields else {
            bad_type_info()
        };
        let (context_type, attrs_type) = (context.ty, attrs.ty);
        let align = <chunking::Piece as ComponentType>::ALIGN32;
        let (records, _) = list(cx, place, PIECE_BYTES, align, size_of::<RawPiece>())?.as_chunks::<PIECE_BYTES>();
        let piece = |record: &[u8; PIECE_BYTES]| {
            let (span, lists) = record.split_at(SPAN_BYTES);
            let (context, own) = lists.split_at(8);
            Ok(RawPiece {
                at: span_of(span),
                context: Vec::read(cx, context_type, (number(context, 0), number(context, 4)))?,
                // Attributes have strings, and most pieces have no attributes.
                attrs: match number(own, 4) {
                    0 => Vec::new(),
                    _ => Lift::linear_lift_from_memory(cx, attrs_type, own)?,
                },
            })
        };
        records.iter().map(piece).collect()
    }
}

/// A part of a document's text, which starts and ends at characters' boundaries.
pub struct Text(pub Arc<Document>, pub Range<usize>);

impl Text {
    fn as_str(&self) -> &str {
        self.0.text.get(self.1.clone()).unwrap_or_default()
    }
}

// SAFETY: it has the same layout as a `str`, to which everything is forwarded.
unsafe impl ComponentType for Text {
    type Lower = <str as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <str as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <str as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: as above.
unsafe impl Lower for Text {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        target: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        self.as_str().linear_lower_to_flat(cx, ty, target)
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        self.as_str().linear_lower_to_memory(cx, ty, offset)
    }
}

/// The units of a range of a document's units that share a byte with a span.
pub struct Units {
    pub document: Arc<Document>,
    pub range: Range<usize>,
    pub within: Span,
}

impl Units {
    /// Returns the units in order.
    pub fn iter(&self) -> impl Iterator<Item = &Unit> {
        let candidates = self.document.units.get(self.range.clone()).unwrap_or_default();
        candidates.iter().filter(|unit| unit.at.overlaps(self.within))
    }
}

impl Records for Units {
    type Record = types::Unit;
}

impl LowerRecords for Units {
    /// The guest's allocator may return any addresses within its memory, so the records are built in the host, and written when no more
    /// memory is requested.
    fn write<T>(&self, cx: &mut LowerContext<'_, T>) -> Result<(usize, usize)> {
        let mut records = Vec::with_capacity(self.range.len() * UNIT_BYTES);
        for unit in self.iter() {
            let kind = unit.kind.as_bytes();
            let at = cx.realloc(0, 0, 1, kind.len())?;
            copy(cx, at, kind)?;
            let (at, length) = (u32::try_from(at)?, u32::try_from(kind.len())?);
            let (has_title, title) = optional(unit.title);
            let fields = [
                unit.at.start,
                unit.at.end,
                at,
                length,
                unit.level.into(),
                has_title,
                title.start,
                title.end,
            ];
            records.extend_from_slice(fields.map(u32::to_le_bytes).as_flattened());
        }
        place(cx, &records, <types::Unit as ComponentType>::ALIGN32, UNIT_BYTES)
    }

    fn generated(&self, encoding: StringEncoding) -> Option<Vec<types::Unit>> {
        (encoding != StringEncoding::Utf8).then(|| self.iter().map(types::Unit::from).collect())
    }
}

/// The kinds of a document's units.
pub struct Kinds {
    /// The kinds, each once.
    pub names: Vec<String>,
    /// For each unit, the index of its kind.
    pub codes: Arc<[u32]>,
}

impl Kinds {
    pub fn of(document: &Document) -> Self {
        let mut names = Vec::new();
        let mut known = HashMap::<&str, u32>::new();
        let mut codes = Vec::with_capacity(document.units.len());
        // Most units are of the same kind as the one before.
        let mut last = ("", u32::MAX);
        for Unit { kind, .. } in &document.units {
            if codes.is_empty() || last.0 != kind {
                let next = names.len() as u32;
                let code = *known.entry(kind).or_insert_with(|| {
                    names.push(kind.clone());
                    next
                });
                last = (kind, code);
            }
            codes.push(last.1);
        }
        Self {
            names,
            codes: codes.into(),
        }
    }
}

/// The same units, with the indices of their kinds.
pub struct CodedUnits {
    pub units: Units,
    pub kinds: Arc<[u32]>,
}

impl Records for CodedUnits {
    type Record = types::CodedUnit;
}

impl LowerRecords for CodedUnits {
    fn write<T>(&self, cx: &mut LowerContext<'_, T>) -> Result<(usize, usize)> {
        let Units { document, range, within } = &self.units;
        let units = document.units.get(range.clone()).unwrap_or_default();
        let kinds = self.kinds.get(range.clone()).unwrap_or_default();
        let mut records = Vec::with_capacity(units.len() * CODED_BYTES);
        for (unit, kind) in units.iter().zip(kinds).filter(|(unit, _)| unit.at.overlaps(*within)) {
            let (has_title, title) = optional(unit.title);
            let fields = [
                unit.at.start,
                unit.at.end,
                *kind,
                unit.level.into(),
                has_title,
                title.start,
                title.end,
            ];
            records.extend_from_slice(fields.map(u32::to_le_bytes).as_flattened());
        }
        place(cx, &records, <types::CodedUnit as ComponentType>::ALIGN32, CODED_BYTES)
    }
}

/// Returns an option in its layout: whether it is present, and its value.
fn optional(span: Option<Span>) -> (u32, Span) {
    (u32::from(span.is_some()), span.unwrap_or(Span::new(0, 0)))
}

/// Writes records to memory that the guest allocates. Returns their address and their number.
fn place<T>(cx: &mut LowerContext<'_, T>, records: &[u8], align: u32, size: usize) -> Result<(usize, usize)> {
    let at = cx.realloc(0, 0, align, records.len())?;
    copy(cx, at, records)?;
    Ok((at, records.len() / size))
}

fn copy<T>(cx: &mut LowerContext<'_, T>, at: usize, bytes: &[u8]) -> Result<()> {
    let target = cx.as_slice_mut().get_mut(at..).and_then(|memory| memory.get_mut(..bytes.len()));
    let Some(target) = target else {
        bail!("realloc return: beyond end of memory");
    };
    target.copy_from_slice(bytes);
    Ok(())
}
