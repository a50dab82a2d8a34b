/// What is wrong with a document: fields, each with its problem.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<(String, String)>);

impl Problems {
    pub(super) fn refuse(&mut self, field: &str, problem: impl Into<String>) {
        self.0.push((field.to_owned(), problem.into()));
    }

    pub(crate) fn into_inner(self) -> Vec<(String, String)> {
        self.0
    }

    #[cfg(test)]
    pub(super) fn into_fields(self) -> Vec<String> {
        self.0.into_iter().map(|(field, _)| field).collect()
    }
}
