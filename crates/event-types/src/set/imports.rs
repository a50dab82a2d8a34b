//! Imports of the files of a set: all there, and none in a circle.

use std::collections::HashMap;

use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;

use super::SetError;

/// Checks that what files import is in the set or well known, and that no file imports itself.
pub(super) fn check<'a>(
    files: impl Iterator<Item = &'a FileDescriptorProto>,
    well_known: &DescriptorPool,
) -> Result<(), SetError> {
    let files: HashMap<_, _> = files.map(|file| (file.name(), file)).collect();
    for file in files.values() {
        let import = (file.dependency.iter()).find(|name| {
            !files.contains_key(&***name) && well_known.get_file_by_name(name).is_none()
        });
        if let Some(import) = import {
            return Err(SetError::Import {
                file: file.name().to_owned(),
                import: import.clone(),
            });
        }
    }
    // Takes away, again and again, the files that import none of those that are left.
    let mut imports: HashMap<_, usize> = HashMap::new();
    let mut importers: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, file) in &files {
        let own: Vec<_> = file
            .dependency
            .iter()
            .filter(|import| files.contains_key(&***import))
            .collect();
        imports.insert(*name, own.len());
        for import in own {
            importers.entry(import).or_default().push(name);
        }
    }
    let mut free: Vec<_> = imports
        .iter()
        .filter(|(_, left)| **left == 0)
        .map(|(name, _)| *name)
        .collect();
    while let Some(name) = free.pop() {
        imports.remove(name);
        for importer in importers.remove(name).unwrap_or_default() {
            if let Some(left) = imports.get_mut(importer) {
                *left -= 1;
                if *left == 0 {
                    free.push(importer);
                }
            }
        }
    }
    match imports.keys().min() {
        None => Ok(()),
        Some(file) => Err(SetError::Cycle {
            file: (*file).to_owned(),
        }),
    }
}
