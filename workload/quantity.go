package workload

import (
	"fmt"
	"math/big"
	"regexp"
)

var (
	amount   = regexp.MustCompile(`^\+?([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(m|n|u|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE]([+-]?[0-9]{1,2}))?$`)
	thousand = big.NewInt(1000)
)

const (
	maxMilli  = int64(1) << 60     // no amount is larger, nor any sum: two of them do not overflow
	maxAmount = maxMilli / maxPods // what a Pod asks for and a node has at most: 21 TiB, more cores than there are
)

// milli is a quantity of Kubernetes (k8s.io/apimachinery resource.Quantity) in thousandths, rounded up.
func (q Quantity) milli() (int64, error) {
	m := amount.FindStringSubmatch(string(q))
	if m == nil {
		return 0, fmt.Errorf("%q is no amount that can be used", string(q))
	}
	v, ok := new(big.Rat).SetString(m[1])
	if !ok {
		return 0, fmt.Errorf("%q is no amount that can be used", string(q))
	}
	v.Mul(v, unit(m[2], m[3]))
	v.Mul(v, new(big.Rat).SetInt(thousand))
	up := new(big.Int).Add(v.Num(), new(big.Int).Sub(v.Denom(), big.NewInt(1)))
	up.Quo(up, v.Denom())
	if !up.IsInt64() || up.Int64() > maxMilli {
		return 0, fmt.Errorf("%q is more than can be counted", string(q))
	}
	return up.Int64(), nil
}

// unit is what a suffix stands for; exponent is that of a suffix such as e3.
func unit(suffix, exponent string) *big.Rat {
	if exponent != "" {
		v, ok := new(big.Rat).SetString("1e" + exponent)
		if !ok {
			return new(big.Rat)
		}
		return v
	}
	base, power := int64(1000), int64(0)
	if len(suffix) == 2 {
		base, suffix = 1024, suffix[:1]
	}
	for p, prefix := range map[int64]string{-3: "n", -2: "u", -1: "m", 1: "kK", 2: "M", 3: "G", 4: "T", 5: "P", 6: "E"} {
		for _, c := range prefix {
			if string(c) == suffix {
				power = p
			}
		}
	}
	abs := power
	if power < 0 {
		abs = -power
	}
	v := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(base), big.NewInt(abs), nil))
	if power < 0 {
		v.Inv(v)
	}
	return v
}
