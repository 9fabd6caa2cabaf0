// Package policy decides, from evidence alone, whether an image may be published.
//
// A policy is an OPA bundle in Rego v1 whose package sealyard holds `deny contains finding`, `warn contains
// finding` and `allow`. It opens the gate only when allow is true and deny is empty. Everything it may look at
// is in [Input]; there is no clock, no network and no environment, so the same bundle and the same input give
// the same bytes on every machine. Files are read in [Load] and nowhere else.
//
// An error always means that no decision was reached. The zero [Decision] denies.
package policy
