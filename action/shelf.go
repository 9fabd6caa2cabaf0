package action

import (
	"sync"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/policy"
)

// maxShelf is how many compiled policies are kept. Most images were decided by the same one; one takes a few megabytes.
const maxShelf = 16

// shelf keeps the policies that were compiled last, by the name and the digest of their archives. The bytes behind a digest were
// read and hashed before it is asked, so what it gives is what compiling them again would. A nil shelf keeps none.
type shelf struct {
	mu    sync.Mutex
	books []*book // the one used last is last
}

// book is one policy: compiled once, also when several ask for it at the same time.
type book struct {
	sync.Once
	of     attest.Reference
	bundle *policy.Bundle
	err    error
}

// load returns the policy of that name and digest, compiled by compile when it is not on the shelf. A failure is not kept: it may be
// the caller's, who was interrupted.
func (s *shelf) load(of attest.Reference, compile func() (*policy.Bundle, error)) (*policy.Bundle, error) {
	if s == nil {
		return compile()
	}
	b := s.find(of)
	mine := false
	b.Do(func() {
		mine = true
		b.bundle, b.err = compile()
	})
	if b.err == nil {
		return b.bundle, nil
	}
	s.remove(b)
	if mine {
		return nil, b.err
	}
	return compile()
}

// find returns the book, new or not, as the one used last.
func (s *shelf) find(of attest.Reference) *book {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &book{of: of}
	for i, other := range s.books {
		if other.of == of {
			b = other
			s.books = append(s.books[:i], s.books[i+1:]...)
			break
		}
	}
	if len(s.books) == maxShelf {
		s.books = s.books[1:]
	}
	s.books = append(s.books, b)
	return b
}

func (s *shelf) remove(b *book) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.books {
		if other == b {
			s.books = append(s.books[:i], s.books[i+1:]...)
			return
		}
	}
}
