import torch
from torch.nn import functional
def softened_divergence(s,t,T):
    return T*T*functional.kl_div((s/T).log_softmax(1),(t.detach()/T).log_softmax(1),reduction="batchmean",log_target=True)
def symmetric_divergence(a,b):
    p,q=a.log_softmax(1),b.log_softmax(1)
    return .5*((p.exp()-q.exp())*(p-q)).sum()/len(a)
