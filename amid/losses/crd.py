import torch
EPS=1e-7
def bank_scores(a,b,t): return (a@b.T/t).exp()
def noise_contrastive(scores,n_samples,weights=None):
    pos,neg=scores[:,0],scores[:,1:]
    if weights is None: weights=torch.ones_like(neg)
    c=weights.sum(1)/n_samples
    p=pos.log()-(pos+c+EPS).log()
    n=weights*(c.clamp(min=1e-30)[:,None].log()-(neg+c[:,None]+EPS).log())
    return -(p.sum()+n.sum())/len(scores)
