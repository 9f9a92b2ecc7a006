//! The product tree by meaning: whatever its shape, a fixed product is a component in a product,
//! perhaps by way of a module, found by following references.

use std::collections::HashMap;

use super::{
    component::{Component, Unreadable, from_id, from_purl, module_of},
    document::{Branch, Helper, Product, Tree},
};

/// References are followed this far; real documents need two.
const DEEPEST: usize = 5;

/// A product is made of no more products than this; real ones are made of three.
const MOST: usize = 64;

#[derive(Default)]
struct Node<'a> {
    purl: Option<&'a str>,
    cpe: Option<&'a str>,
    /// products that this one is made of, the containing one first
    parts: Vec<&'a str>,
}

/// Every product of a document by its id.
pub(super) struct Products<'a> {
    nodes: HashMap<&'a str, Node<'a>>,
}

/// What a product comes down to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resolved<'a> {
    pub(super) component: Option<Component>,
    pub(super) module: Option<String>,
    pub(super) cpe: Option<&'a str>,
    /// products looked at
    steps: usize,
}

/// The parts of a product as they are called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) cpe: Option<&'a str>,
    pub(super) purl: Option<&'a str>,
    /// id of the component
    pub(super) leaf: Option<&'a str>,
    pub(super) module: Option<String>,
}

fn module_in(purl: &str) -> Option<String> {
    match from_purl(purl) {
        Ok(Component::Module(module)) => Some(module),
        _ => None,
    }
}

/// Why a product comes down to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    #[error("the product tree does not define `{0}`")]
    Undefined(String),
    #[error("references go deeper than {DEEPEST} products, or to more than {MOST}")]
    TooDeep,
    #[error("`{0}` is no readable name of an rpm")]
    Malformed(String),
    #[error("architecture `{0}` is not known")]
    Architecture(String),
}

impl<'a> Products<'a> {
    pub(super) fn of(tree: &'a Tree<'a>) -> Self {
        let mut products = Self {
            nodes: HashMap::new(),
        };
        for branch in &tree.branches {
            products.add_branch(branch);
        }
        for product in &tree.full_product_names {
            products.add(product, Vec::new());
        }
        for relationship in &tree.relationships {
            let parts = [
                &relationship.relates_to_product_reference,
                &relationship.product_reference,
            ];
            products.add(
                &relationship.full_product_name,
                parts.map(|text| &**text).to_vec(),
            );
        }
        for path in &tree.product_paths {
            let next = path
                .subpaths
                .iter()
                .rev()
                .map(|step| &*step.next_product_reference);
            let parts = next.chain([&*path.beginning_product_reference]).collect();
            products.add(&path.full_product_name, parts);
        }
        products
    }

    /// The parser's limit on nesting bounds the depth.
    fn add_branch(&mut self, branch: &'a Branch<'a>) {
        if let Some(product) = &branch.product {
            self.add(product, Vec::new());
        }
        for inner in &branch.branches {
            self.add_branch(inner);
        }
    }

    fn add(&mut self, product: &'a Product<'a>, parts: Vec<&'a str>) {
        let node = self.nodes.entry(&product.product_id).or_default();
        if let Some(Helper { cpe, purl, purls }) = &product.product_identification_helper {
            let purl = purl.as_ref().or_else(|| purls.first());
            node.purl = node.purl.or(purl.map(|text| &**text));
            node.cpe = node.cpe.or(cpe.as_ref().map(|text| &**text));
        }
        if node.parts.is_empty() {
            node.parts = parts;
        }
    }

    pub(super) fn resolve(&self, id: &str) -> Result<Resolved<'a>, Unresolved> {
        let mut resolved = Resolved::default();
        self.follow(id, 0, &mut resolved)?;
        Ok(resolved)
    }

    /// The same without reading what the parts are called: for products that have no version.
    pub(super) fn parts(&self, id: &str) -> Result<Parts<'a>, Unresolved> {
        let mut parts = Parts::default();
        self.collect(id, 0, &mut 0, &mut parts)?;
        Ok(parts)
    }

    fn collect(
        &self,
        id: &str,
        depth: usize,
        steps: &mut usize,
        to: &mut Parts<'a>,
    ) -> Result<(), Unresolved> {
        *steps += 1;
        if depth > DEEPEST || *steps > MOST {
            return Err(Unresolved::TooDeep);
        }
        let (id, node) = self
            .nodes
            .get_key_value(id)
            .ok_or_else(|| Unresolved::Undefined(shortened(id)))?;
        to.cpe = to.cpe.or(node.cpe);
        match node.purl {
            // a module beside its package
            Some(purl) if purl.starts_with("pkg:rpmmod/") && !node.parts.is_empty() => {
                to.module = to.module.take().or_else(|| module_in(purl));
            }
            Some(purl) => {
                if let Some(other) = to.purl.filter(|purl| purl.starts_with("pkg:rpmmod/")) {
                    to.module = to.module.take().or_else(|| module_in(other));
                    to.purl = Some(purl);
                } else if purl.starts_with("pkg:rpmmod/") && to.purl.is_some() {
                    to.module = to.module.take().or_else(|| module_in(purl));
                } else {
                    to.purl = to.purl.or(Some(purl));
                }
                to.leaf = Some(id);
            }
            None if node.parts.is_empty() && node.cpe.is_none() => to.leaf = to.leaf.or(Some(id)),
            None => {}
        }
        node.parts
            .iter()
            .try_for_each(|part| self.collect(part, depth + 1, steps, to))
    }

    fn follow(&self, id: &str, depth: usize, to: &mut Resolved<'a>) -> Result<(), Unresolved> {
        to.steps += 1;
        if depth > DEEPEST || to.steps > MOST {
            return Err(Unresolved::TooDeep);
        }
        let node = self
            .nodes
            .get(id)
            .ok_or_else(|| Unresolved::Undefined(shortened(id)))?;
        to.cpe = to.cpe.or(node.cpe);
        let component = match node.purl {
            Some(purl) => Some(from_purl(purl).map(|component| with_module(component, id))),
            None if node.parts.is_empty() && node.cpe.is_none() => from_id(id),
            None => None,
        };
        match component.transpose().map_err(|why| unresolved(why, id))? {
            Some(Component::Module(module)) => to.module = to.module.take().or(Some(module)),
            Some(component) => to.component = to.component.take().or(Some(component)),
            None => {}
        }
        node.parts
            .iter()
            .try_for_each(|part| self.follow(part, depth + 1, to))
    }
}

/// A package of a module whose purl does not say which: the id may.
fn with_module(component: Component, id: &str) -> Component {
    match component {
        Component::Rpm(mut rpm)
            if rpm.module.is_none() && rpm.fixed.release.contains(".module") =>
        {
            let label = id.split_once("::").or_else(|| id.split_once(".rpm-"));
            rpm.module = label.and_then(|(_, label)| module_of(label));
            Component::Rpm(rpm)
        }
        component => component,
    }
}

fn unresolved(why: Unreadable, id: &str) -> Unresolved {
    match why {
        Unreadable::Malformed => Unresolved::Malformed(shortened(id)),
        Unreadable::Architecture(arch) => Unresolved::Architecture(shortened(&arch)),
    }
}

/// Ids come from the document and end up in messages.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
