//! Paths in the source of a module: imports, and paths inside code and macros.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, ImplItem, Item, Macro, Path, UseTree, spanned::Spanned, visit::Visit};

/// A path with its line number.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub segments: Vec<String>,
    pub line: usize,
}

/// A `use` item: the path, and the name it brings into scope. `name` is `None` for a glob.
#[derive(Debug, Clone)]
pub(super) struct Import {
    pub name: Option<String>,
    pub path: Reference,
}

/// Collects the paths of one module. Nested modules are collected separately.
#[derive(Debug, Default)]
pub(super) struct References {
    pub imports: Vec<Import>,
    pub paths: Vec<Reference>,
}

/// Whether an item is compiled only for tests.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else { return attribute.path().is_ident("test") };
        let condition = list.tokens.to_string().replace(' ', "");
        list.path.is_ident("cfg") && !condition.contains("not(test") && names(&list.tokens, "test")
    })
}

fn names(tokens: &TokenStream, word: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => names(&group.stream(), word),
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl References {
    fn import(&mut self, prefix: &[String], tree: &UseTree) {
        let mut path = prefix.to_vec();
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.import(&path, &inner.tree);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(prefix, tree)),
            UseTree::Glob(_) => {
                self.imports.push(Import { name: None, path: Reference { segments: path, line } })
            }
            UseTree::Name(name) => {
                let last = name.ident.to_string();
                let name = if last == "self" { prefix.last().cloned() } else { Some(last.clone()) };
                if last != "self" {
                    path.push(last);
                }
                self.imports.push(Import { name, path: Reference { segments: path, line } });
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    path.push(rename.ident.to_string());
                }
                let name = Some(rename.rename.to_string());
                self.imports.push(Import { name, path: Reference { segments: path, line } });
            }
        }
    }

    /// Macros accept any tokens, so paths are recognised by their form: names separated by `::`.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Option<(Vec<String>, usize)> = None;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => match &mut path {
                    Some((segments, _)) if colons == 2 => segments.push(ident.to_string()),
                    _ => {
                        self.finish(path.take());
                        path = Some((vec![ident.to_string()], ident.span().start().line));
                    }
                },
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.finish(path.take());
                    self.tokens(group.stream());
                }
                _ => self.finish(path.take()),
            }
            colons = 0;
        }
        self.finish(path);
    }

    fn finish(&mut self, path: Option<(Vec<String>, usize)>) {
        if let Some((segments, line)) = path.filter(|(segments, _)| segments.len() > 1) {
            self.paths.push(Reference { segments, line });
        }
    }
}

impl<'ast> Visit<'ast> for References {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            _ if is_for_tests(attributes(item)) => {}
            Item::Mod(_) => {}
            Item::Use(item) => self.import(&[], &item.tree),
            _ => syn::visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let is_for_tests = match item {
            ImplItem::Fn(item) => is_for_tests(&item.attrs),
            ImplItem::Const(item) => is_for_tests(&item.attrs),
            _ => false,
        };
        if !is_for_tests {
            syn::visit::visit_impl_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.paths.push(Reference { segments, line: path.span().start().line });
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.tokens(item.tokens.clone());
    }
}
