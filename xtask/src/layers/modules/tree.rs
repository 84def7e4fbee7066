//! The modules of one crate, read from its sources, and the resolution of paths in them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use syn::{Attribute, Expr, Item, ItemMod, Lit, Meta, visit::Visit};

use super::references::{Import, Reference, References, is_for_tests};

/// Names of a module from the root of its crate; empty for the root.
pub(super) type ModulePath = Vec<String>;

/// Limit of followed re-exports; more would be a circle of imports.
const FOLLOWED: usize = 16;

#[derive(Debug)]
pub(super) struct Module {
    pub file: PathBuf,
    imports: Vec<Import>,
    paths: Vec<Reference>,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    pub modules: BTreeMap<ModulePath, Module>,
}

impl Tree {
    /// Reads a crate from its root file and every file that its `mod` items name.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        let directory = root.parent().unwrap_or_else(|| Path::new("."));
        tree.read_file(root, directory, Vec::new())?;
        Ok(tree)
    }

    /// Reads a module. `directory` contains the files of its children.
    fn read_file(&mut self, file: &Path, directory: &Path, path: ModulePath) -> anyhow::Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let source =
            syn::parse_file(&text).with_context(|| format!("{} cannot be parsed", file.display()))?;
        self.add(&source.items, file, directory, path)
    }

    fn add(&mut self, items: &[Item], file: &Path, directory: &Path, path: ModulePath) -> anyhow::Result<()> {
        let mut references = References::default();
        for item in items {
            references.visit_item(item);
        }
        let References { imports, paths } = references;
        self.modules.insert(path.clone(), Module { file: file.to_path_buf(), imports, paths });
        for item in items {
            if let Item::Mod(module) = item
                && !is_for_tests(&module.attrs)
            {
                self.add_child(module, file, directory, &path)?;
            }
        }
        Ok(())
    }

    fn add_child(
        &mut self,
        module: &ItemMod,
        file: &Path,
        directory: &Path,
        path: &[String],
    ) -> anyhow::Result<()> {
        let name = module.ident.to_string();
        let path = [path, std::slice::from_ref(&name)].concat();
        let below = directory.join(&name);
        if let Some((_, items)) = &module.content {
            return self.add(items, file, &below, path);
        }
        if let Some(named) = path_attribute(&module.attrs) {
            let named = file.parent().unwrap_or(directory).join(named);
            let below = named.parent().map(Path::to_path_buf).unwrap_or(below);
            return self.read_file(&named, &below, path);
        }
        let files = [directory.join(format!("{name}.rs")), below.join("mod.rs")];
        let Some(child) = files.iter().find(|file| file.is_file()) else {
            bail!("{}: module {name} has no file", file.display());
        };
        self.read_file(child, &below, path)
    }

    /// Lists each module that `from` depends on, with the line of the dependency.
    pub(super) fn dependencies(&self, from: &[String]) -> Vec<(ModulePath, usize)> {
        let Some(module) = self.modules.get(from) else { return Vec::new() };
        let imports = module.imports.iter().map(|import| &import.path);
        imports
            .chain(&module.paths)
            .filter_map(|reference| Some((self.resolve(from, &reference.segments)?, reference.line)))
            .collect()
    }

    /// Finds the module that a path in `from` refers to; `None` for a path into another crate, or
    /// to a local name.
    ///
    /// A re-export of an ancestor of `from` counts as the module of origin, because an ancestor is
    /// not a sibling.
    fn resolve(&self, from: &[String], path: &[String]) -> Option<ModulePath> {
        let mut at = from.to_vec();
        let mut path = path.to_vec();
        for _ in 0..FOLLOWED {
            let (module, rest) = self.walk(&at, &path)?;
            let Some((name, rest)) = rest.split_first().filter(|_| from.starts_with(&module)) else {
                return Some(module);
            };
            let Some(import) = self.import(&module, name) else { return Some(module) };
            path = [import, rest].concat();
            at = module;
        }
        None
    }

    fn import(&self, module: &[String], name: &str) -> Option<&[String]> {
        let imports = &self.modules.get(module)?.imports;
        let import = imports.iter().find(|import| import.name.as_deref() == Some(name))?;
        // `use anyhow;` refers to the external crate.
        (import.path.segments != [name]).then_some(&import.path.segments)
    }

    /// Descends from `at` while the path names modules; returns the last module and the rest of the
    /// path.
    fn walk<'path>(&self, at: &[String], path: &'path [String]) -> Option<(ModulePath, &'path [String])> {
        let mut module = at.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (module, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    module.pop()?;
                    rest = &rest[1..];
                }
            }
            first if self.child(&module, first).is_some() || self.import(&module, first).is_some() => {}
            _ => return None,
        }
        while let Some(child) = rest.first().and_then(|name| self.child(&module, name)) {
            module = child;
            rest = &rest[1..];
        }
        Some((module, rest))
    }

    fn child(&self, module: &[String], name: &str) -> Option<ModulePath> {
        let child = [module, &[name.to_owned()]].concat();
        self.modules.contains_key(&child).then_some(child)
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}
