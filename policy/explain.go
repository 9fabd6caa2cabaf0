package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// An Explanation says how a rule came to a denial.
type Explanation struct {
	Finding Finding
	Where   string // of the rule: file:line
	Because []Condition
}

// A Condition is one line of a rule, what its variables stood for, and whether it held.
type Condition struct {
	Line   int
	Text   string
	Values []string // "platform is linux/amd64"
	Holds  bool
}

// Explain asks a bundle about an input and traces each denial to the lines of the rule that gave it. When the bundle does not
// allow although nothing denies, it names the lines of allow that did not hold.
func (b *Bundle) Explain(ctx context.Context, in Input) ([]Explanation, error) {
	data, err := in.JSON()
	if err != nil {
		return nil, err
	}
	input, err := ast.ValueFromReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	d, err := decide(ctx, []*Bundle{b}, input, Decision{Time: in.Time.UTC().Truncate(time.Second)}, nil)
	if err != nil || d.Allowed {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 6*b.timeout) // traced, it is slower
	defer cancel()
	t := &tracer{bundle: b, names: b.rewritten, byFinding: map[string]Explanation{}, allow: map[uint64]*ast.Rule{}, failed: map[*ast.Rule]*ast.Expr{}}
	if err := t.trace(ctx, b.query, question{input: input, now: d.Time}); err != nil {
		return nil, err
	}
	sources, err := recordedSources(input, d.Time)
	for i := 0; err == nil && b.aboutSources && i < len(sources); i++ {
		err = t.trace(ctx, b.aboutSource, question{input: sources[i], now: d.Time})
	}
	if err != nil {
		return nil, err
	}
	var out []Explanation
	for _, f := range d.Denials {
		e := t.byFinding[findingKey(f.Rule, f.Message, f.Platform, f.Subject)]
		if f.Rule == ruleAllow {
			e = t.unfulfilled()
		}
		e.Finding = f
		out = append(out, e)
	}
	return out, nil
}

// trace asks again, slowly.
func (t *tracer) trace(ctx context.Context, query rego.PreparedEvalQuery, q question) error {
	if _, err := query.Eval(ctx, rego.EvalParsedInput(q.input), rego.EvalTime(q.now), rego.EvalQueryTracer(t), rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false)); err != nil {
		return tidy(err)
	}
	return nil
}

func findingKey(rule, message, platform, subject string) string {
	return strings.Join([]string{rule, message, platform, subject}, "\x00")
}

// tracer keeps of an evaluation how deny got its members, and where allow ended.
type tracer struct {
	bundle    *Bundle
	names     map[ast.Var]ast.Var
	byFinding map[string]Explanation
	allow     map[uint64]*ast.Rule // query => the rule of allow that it evaluates
	failed    map[*ast.Rule]*ast.Expr
}

// Enabled implements topdown.QueryTracer.
func (*tracer) Enabled() bool { return true }

// Config implements topdown.QueryTracer.
func (*tracer) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent implements topdown.QueryTracer.
func (t *tracer) TraceEvent(e topdown.Event) {
	switch node := e.Node.(type) {
	case *ast.Rule:
		switch {
		case e.Op == topdown.EnterOp && isEntry(node, ruleAllow):
			t.allow[e.QueryID] = node
		case e.Op == topdown.ExitOp && (isEntry(node, ruleDeny) || isEntry(node, ruleDeny, sourcePackage)) && len(t.byFinding) < maxFindings:
			t.exit(e, node)
		case e.Op == topdown.ExitOp && len(t.bundle.foreign) > 0 && len(t.byFinding) < maxFindings:
			t.exitForeign(e, node)
		}
	case *ast.Expr:
		if rule := t.allow[e.QueryID]; rule != nil && e.Op == topdown.FailOp {
			t.failed[rule] = node
		}
	}
}

// isEntry reports whether r is a rule of that name in the entry package, or in the one below it.
func isEntry(r *ast.Rule, name string, below ...string) bool {
	return !r.Default && slices.Equal(packagePath(r.Module), append([]string{entryPackage}, below...)) && r.Head.Ref()[0].Value.Compare(ast.Var(name)) == 0
}

// exit notes how one member of deny came about.
func (t *tracer) exit(e topdown.Event, r *ast.Rule) {
	var f struct{ Rule, Message, Platform, Subject string }
	v, err := ast.JSON(e.Plug(r.Head.Key).Value)
	if err != nil {
		return
	}
	if raw, err := json.Marshal(v); err != nil || json.Unmarshal(raw, &f) != nil {
		return
	}
	key := findingKey(f.Rule, oneLine(f.Message), oneLine(f.Platform), oneLine(f.Subject))
	if _, known := t.byFinding[key]; known {
		return
	}
	t.byFinding[key] = Explanation{Where: strings.TrimSuffix(at(r.Location), ": "), Because: t.conditions(r, e.Plug)}
}

// exitForeign does what exit does for the rules of namespaces.
func (t *tracer) exitForeign(e topdown.Event, r *ast.Rule) {
	i := slices.IndexFunc(t.bundle.foreign, func(f foreignRule) bool {
		return f.name == nameOf(r) && f.namespace == strings.Join(packagePath(r.Module), ".")
	})
	if i < 0 || r.Head.Key == nil {
		return
	}
	v, err := ast.JSON(e.Plug(r.Head.Key).Value)
	if err != nil {
		return
	}
	if f, _, err := t.bundle.foreignFinding(t.bundle.foreign[i], v); err == nil {
		t.byFinding[findingKey(f.Rule, f.Message, f.Platform, f.Subject)] = Explanation{Where: strings.TrimSuffix(at(r.Location), ": "), Because: t.conditions(r, e.Plug)}
	}
}

// conditions are the lines of a rule in the order they are written, with what their variables stood for where they first occur.
func (t *tracer) conditions(r *ast.Rule, plug func(*ast.Term) *ast.Term) []Condition {
	body := slices.Clone(r.Body)
	slices.SortStableFunc(body, func(a, b *ast.Expr) int { return a.Location.Compare(b.Location) })
	var out []Condition
	told, last := map[ast.Var]bool{}, 0
	for _, expr := range body {
		if expr.Location == nil || expr.Generated || expr.Location.Row <= last || defines(expr, r.Head.Key) {
			last = max(last, lastRow(expr))
			continue
		}
		last = lastRow(expr)
		c := Condition{Line: expr.Location.Row, Text: cut(oneLine(string(expr.Location.Text)), 120), Holds: true}
		ast.WalkVars(expr, func(v ast.Var) bool {
			name, ours := t.names[v]
			if value := plug(ast.NewTerm(v)); ours && !told[v] && value.IsGround() && !strings.HasPrefix(string(name), "__") && !strings.HasPrefix(c.Text, string(name)+" :=") {
				c.Values = append(c.Values, fmt.Sprintf("%s is %s", name, inWords(value)))
			}
			told[v] = true
			return false
		})
		out = append(out, c)
	}
	return out
}

// defines reports whether an expression only names the finding that the rule gives.
func defines(expr *ast.Expr, key *ast.Term) bool {
	return expr.IsEquality() && (expr.Operand(0).Equal(key) || expr.Operand(1).Equal(key)) && !key.IsGround()
}

// lastRow is the last line that an expression is written on.
func lastRow(expr *ast.Expr) int {
	if expr.Location == nil {
		return 0
	}
	return expr.Location.Row + strings.Count(string(expr.Location.Text), "\n")
}

// unfulfilled says why allow is not true: for each of its rules the line that did not hold.
func (t *tracer) unfulfilled() Explanation {
	var out Explanation
	for r, expr := range t.failed {
		if expr.Location == nil {
			continue
		}
		if where := strings.TrimSuffix(at(r.Location), ": "); out.Where == "" || where < out.Where {
			out.Where = where
		}
		out.Because = append(out.Because, Condition{Line: expr.Location.Row, Text: cut(oneLine(string(expr.Location.Text)), 120)})
	}
	slices.SortFunc(out.Because, func(a, b Condition) int { return a.Line - b.Line })
	return out
}

// inWords shows a value in a few words: of an object that which tells it apart.
func inWords(t *ast.Term) string {
	switch v := t.Value.(type) {
	case ast.Object:
		for _, key := range []string{"platform", "predicateType", "id", "name", "digest"} {
			if member := v.Get(ast.StringTerm(key)); member != nil {
				return fmt.Sprintf("the one with %s %s", key, inWords(member))
			}
		}
		return fmt.Sprintf("an object of %d members", v.Len())
	case *ast.Array:
		return fmt.Sprintf("a list of %d", v.Len())
	case ast.Set:
		return fmt.Sprintf("a set of %d", v.Len())
	}
	return cut(oneLine(t.String()), 80)
}
