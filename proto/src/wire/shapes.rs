//! Which fields of events can be many, and what each of them costs.

use std::collections::BTreeMap;

use crate::{DataPoint, ThresholdInput};

use super::{
    cost::{
        ALLOCATION, Cost, ELEMENT, ENTRY, FREE_ELEMENTS, FREE_ENTRIES, SMALLEST_LIST,
        SMALLEST_TABLE,
    },
    scan::{Fields, Malformed, Value},
};

/// The fields of a message that matter.
pub(super) struct Shape {
    fields: &'static [Field],
    /// What the first of them costs.
    first: usize,
}

/// A field whose occurrences cost something, or which holds such fields.
struct Field {
    number: u32,
    inner: Option<&'static Shape>,
    /// What each occurrence costs.
    each: usize,
    /// So many of them the first has paid for.
    free: usize,
}

const fn holds(number: u32, inner: &'static Shape) -> Field {
    many(number, 0, Some(inner))
}

const fn many(number: u32, each: usize, inner: Option<&'static Shape>) -> Field {
    Field {
        number,
        inner,
        each,
        free: 0,
    }
}

const fn of(fields: &'static [Field]) -> Shape {
    Shape { fields, first: 0 }
}

pub(super) static EVENT: Shape = of(&[
    holds(10, &COLLECTED),
    holds(20, &CROSSED),
    holds(21, &TRANSITION),
    holds(22, &DEFINITION),
    holds(25, &ALERT),
    holds(30, &CUSTOM),
]);
const POINT: usize = 2 * size_of::<DataPoint>() + 2 * ALLOCATION;
static COLLECTED: Shape = of(&[many(2, POINT, None)]);
const LABEL: usize = 2 * size_of::<(String, String)>() + 2 * ALLOCATION;
const INPUT: usize = 2 * size_of::<ThresholdInput>() + 3 * ALLOCATION;
/// A node of the map of labels.
const LABEL_NODE: usize =
    11 * size_of::<(String, String)>() + size_of::<BTreeMap<String, String>>();
static CROSSED: Shape = Shape {
    fields: &[many(6, LABEL, None), many(9, INPUT, None)],
    first: LABEL_NODE,
};
static ALERT: Shape = Shape {
    fields: &[many(8, LABEL, None)],
    first: LABEL_NODE,
};
const TEXT: usize = 2 * size_of::<String>() + ALLOCATION;
static TRANSITION: Shape = of(&[many(6, TEXT, None)]);
static DEFINITION: Shape = of(&[many(10, TEXT, None)]);
static CUSTOM: Shape = of(&[holds(2, &STRUCT)]);
static STRUCT: Shape = Shape {
    fields: &[Field {
        number: 1,
        inner: Some(&NAMED),
        each: ENTRY,
        free: FREE_ENTRIES,
    }],
    first: SMALLEST_TABLE,
};
/// An entry of an object: its name and its value.
static NAMED: Shape = of(&[many(1, ALLOCATION, None), holds(2, &VALUE)]);
static VALUE: Shape = of(&[
    many(3, ALLOCATION, None),
    holds(5, &STRUCT),
    holds(6, &LIST),
]);
static LIST: Shape = Shape {
    fields: &[Field {
        number: 1,
        inner: Some(&VALUE),
        each: ELEMENT,
        free: FREE_ELEMENTS,
    }],
    first: SMALLEST_LIST,
};

impl Shape {
    /// Adds what a message of this shape costs; nothing more once it is too much.
    pub(super) fn add_to(
        &self,
        cost: &mut Cost,
        encoded: &[u8],
        depth_left: usize,
    ) -> Result<(), Malformed> {
        let mut fields = Fields::of(encoded);
        let mut found = 0;
        while let Some(field) = fields.next()? {
            let (Some(known), Value::Bytes(value)) = (self.field(field.number), field.value) else {
                continue;
            };
            if found == 0 {
                cost.add(self.first);
            }
            found += 1;
            if found > known.free {
                cost.add(known.each);
            }
            if let Some(inner) = known.inner {
                let depth_left = depth_left.checked_sub(1).ok_or(Malformed::DEPTH)?;
                inner.add_to(cost, value, depth_left)?;
            }
            if cost.is_over() {
                break;
            }
        }
        Ok(())
    }

    fn field(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }
}
