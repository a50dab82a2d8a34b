//! Descriptors from sources, for tests.

use std::sync::Arc;

use protox::{
    Compiler, Error,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};

use crate::DescriptorSet;

#[derive(Debug)]
struct Sources(Vec<(String, String)>);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        match self.0.iter().find(|(file, _)| file == name) {
            Some((_, source)) => File::from_source(name, source),
            None => Err(Error::file_not_found(name)),
        }
    }
}

/// What `protoc --include_imports --descriptor_set_out` would write.
pub(crate) fn compile(sources: &[(&str, &str)]) -> Vec<u8> {
    let mut resolver = ChainFileResolver::new();
    let owned = sources
        .iter()
        .map(|(file, source)| ((*file).to_owned(), (*source).to_owned()));
    resolver.add(Sources(owned.collect()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    compiler
        .open_files(sources.iter().map(|(file, _)| *file))
        .unwrap();
    compiler.encode_file_descriptor_set()
}

/// A set of one file in proto3, in the package `shop`.
pub(crate) fn set(declarations: &str) -> Arc<DescriptorSet> {
    file("proto3", "shop", declarations)
}

/// A set of one file, `shop.proto`.
pub(crate) fn file(syntax: &str, package: &str, declarations: &str) -> Arc<DescriptorSet> {
    let imports = ["any", "duration", "struct", "timestamp", "wrappers"]
        .map(|name| format!("import \"google/protobuf/{name}.proto\";\n"))
        .concat();
    let source = format!("syntax = \"{syntax}\";\npackage {package};\n{imports}\n{declarations}\n");
    let encoded = compile(&[("shop.proto", &source)]);
    Arc::new(DescriptorSet::parse(&encoded).unwrap())
}
