//! Where in a schema something is wrong.

use alloc::{borrow::ToOwned as _, format, string::String};

use super::ConstraintError;

/// Where in the schema, as a JSON pointer.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) above: Option<&'p Place<'p>>,
    pub(super) name: &'p str,
}

impl Place<'_> {
    fn text(&self) -> String {
        match self.above {
            Some(above) => format!("{}/{}", above.text(), self.name),
            None => self.name.to_owned(),
        }
    }

    pub(super) fn refuse(&self, problem: impl Into<String>) -> ConstraintError {
        let (mut place, mut problem) = (self.text(), problem.into());
        for text in [&mut place, &mut problem] {
            if let Some((at, _)) = text.char_indices().nth(200) {
                text.truncate(at);
            }
        }
        ConstraintError::Schema { place, problem }
    }

    pub(super) fn below<'p>(&'p self, name: &'p str) -> Place<'p> {
        Place {
            above: Some(self),
            name,
        }
    }
}
